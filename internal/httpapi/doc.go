// Package api serves the coordinator's API over HTTP. It is one protobuf service for browsers,
// curl, gRPC and Connect clients, with the same handlers for all.
//
//	POST /amends.api.v1.CoordinatorService/Get  {"id":"order-42"}
//	        │ Connect, gRPC, gRPC-Web
//	        ▼
//	  api: protobuf ⇄ transport's requests ──▶ Coordinator.Handle ◀── NATS request and reply
//
// The package only translates. Package transport defines the requests and replies, which the
// coordinator also serves on the bus. Access control is done by package server, with package
// access. The name of an authenticated caller becomes the actor of their operations.
//
// The package also serves gRPC reflection, grpc.health.v1 and the OpenAPI document.
//
// Invariants: a message larger than MaxMessage is refused before it is read completely (I10). JSON
// with an unknown field is refused (I9), so that a misspelt field is not silently ignored.
//
// A failure is a Connect code with a message that suggests a fix. Its detail is a Refusal: the
// legal operations, when to retry, and the invalid fields.
//
// Use the generated client:
//
//	c := apiv1connect.NewCoordinatorServiceClient(http.DefaultClient, "http://127.0.0.1:8080")
//	r, err := c.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: "order-42"}))
package api
