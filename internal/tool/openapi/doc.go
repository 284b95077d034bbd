// Command openapi is a protoc plugin that describes a Connect service in OpenAPI
// 3.1: the bodies, in JSON, of each RPC's POST, and of its GET if it has no side
// effects. buf runs it (buf.gen.yaml).
//
//	proto file ──▶ buf ──▶ openapi ──▶ internal/api/openapi.yaml ──▶ GET /openapi.yaml
//
// It knows as much of protobuf as our API uses: messages, lists, strings, numbers,
// bytes, Timestamp and Duration. Anything else ends it with an error that names the
// field, so that a document is never silently wrong.
package main
