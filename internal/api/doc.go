// Package api serves the coordinator's API over HTTP: one protobuf service for browsers,
// curl, gRPC and Connect clients, with the same handlers for all.
//
//	POST /amends.api.v1.CoordinatorService/Get  {"id":"order-42"}
//	        │ Connect, gRPC, gRPC-Web
//	        ▼
//	  api: protobuf ⇄ transport's requests ──▶ Coordinator.Handle ◀── NATS request and reply
//
// The package only translates: package transport defines the requests and replies, which the
// coordinator serves on the bus as well. It does not restrict access; package server does, with
// package access. The name of an authenticated caller becomes the actor of their operations.
//
// It also serves gRPC reflection, grpc.health.v1 and the OpenAPI document.
//
// Invariants: a message larger than MaxMessage is refused before it is read completely (I10);
// JSON with an unknown field is refused (I9), so that a misspelt field is not silently ignored.
//
// A failure is a Connect code with a message that says what would be right, and a Refusal as
// its detail: the operations that are legal, when to try again, the fields that were wrong.
//
// Use the generated client:
//
//	c := apiv1connect.NewCoordinatorServiceClient(http.DefaultClient, "http://127.0.0.1:8080")
//	r, err := c.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: "order-42"}))
package api
