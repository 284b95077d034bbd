// Command openapi is a protoc plugin that describes a Connect service in OpenAPI 3.1. It describes
// the JSON bodies of each RPC's POST, and of its GET if the RPC has no side effects. buf runs it
// (buf.gen.yaml).
//
//	proto file ──▶ buf ──▶ openapi ──▶ internal/httpapi/openapi.yaml ──▶ GET /openapi.yaml
//
// The properties follow the JSON mapping that the proto file describes, and not protobuf's own
// mapping: all numbers are numbers, and a field that contains JSON has no type. Only the file's
// first service is described; the second service exists on NATS only. That is why this is not the
// existing plugin protoc-gen-connect-openapi, which describes the mapping of protobuf.
//
// It supports only the parts of protobuf that our API uses: messages, lists, strings,
// numbers, bytes, Timestamp and Duration. Anything else is an error that names the field,
// so that the document is never silently wrong.
package main
