// Package httpapi serves the coordinator's API over HTTP. It is one protobuf service for browsers,
// curl, gRPC and Connect clients, with the same handlers for all.
//
//	POST /amends.api.v1.CoordinatorService/Get  {"id":"order-42"}
//	        │ Connect, gRPC, gRPC-Web
//	        ▼
//	  httpapi: protobuf ⇄ package api ──▶ Coordinator.Serve ◀── NATS request and reply
//
// The package only translates, with package apipb. It serves the requests that the coordinator also
// serves on the bus, in the same JSON; Watch and OperateAll combine several requests into a stream.
// Package server controls access, with package access. The name of an authenticated caller becomes
// the actor of the caller's operations.
//
//	method.go    the methods, each a call of serve
//	watch.go     Watch
//	bulk.go      OperateAll
//	codec.go     JSON
//	redact.go    redaction of payloads
//	reason.go    redaction of reasons
//
// The package also serves gRPC reflection, grpc.health.v1 and the OpenAPI document.
//
// Invariants: a message larger than MaxMessage is refused before it is read completely (I10). JSON
// with an unknown field is refused (I9), so that a misspelt field is not silently ignored.
//
// A failure is a Connect code with a message that suggests a fix. The error detail is a Refusal:
// the legal operations, when to retry, and the invalid fields.
//
// Use the generated client:
//
//	c := apiv1connect.NewCoordinatorServiceClient(http.DefaultClient, "http://127.0.0.1:8080")
//	r, err := c.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: "order-42"}))
package httpapi
