// Package api has the types of the coordinator's requests and responses, which are the same over
// NATS, HTTP and gRPC: the state of a saga (Saga), an operator's decision (Decision), and so on.
// Package client sends the requests.
//
// The types are generated from the proto file of the API, proto/amends/api/v1/api.proto, which is
// the contract; so are the methods (MethodStart and so on), the protobuf messages, and the OpenAPI
// document. encoding/json encodes the types by the JSON mapping that the proto file describes.
// docs/WIRE.md has test vectors.
//
//	Code, Error      a refused request
//	Duration         a time to wait; JSON "0.5s"
//	api.gen.go       everything else
//
// The package has no logic beyond the encoding, and imports only package contract. Values are not
// safe for concurrent modification. Decoding with package json accepts unknown fields, as clients
// must; the coordinator refuses them in requests.
package api
