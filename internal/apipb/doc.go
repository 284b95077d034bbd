// Package apipb converts the types of package api to the protobuf messages of the API and back
// (apipb.gen.go, generated), and encodes the messages as JSON by the mapping of package api.
//
// Text that is not UTF-8, which protobuf cannot contain, is converted with replacement characters:
// one damaged record must not prevent others from being shown. Check refuses messages that could
// not be converted without loss.
package apipb
