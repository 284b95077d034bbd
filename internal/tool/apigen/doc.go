// Package main is a protoc plugin, apigen, that generates Go code from the proto file of the
// coordinator's requests, by the JSON mapping that the file describes:
//
//	api/api.gen.go              the types of package api, with their JSON encoding
//	internal/apipb/apipb.gen.go conversions between these types and the protobuf messages
//
// go generate ./proto runs it. The tables in types.go list the fields whose Go type does not follow
// from the protobuf type. Invariant: every message has a Go type, and every field has a JSON name
// in lowerCamel. An error of the plugin, for example for a map field, ends the generation.
package main
