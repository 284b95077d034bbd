// Package api is the coordinator's API over HTTP: one protobuf service that
// browsers, curl, gRPC and Connect clients use alike, with the same handlers.
//
//	POST /amends.api.v1.CoordinatorService/Get  {"id":"order-42"}
//	        │ Connect, gRPC, gRPC-Web
//	        ▼
//	  api: protobuf ⇄ transport's requests ──▶ Coordinator.Handle ◀── NATS request and reply
//
// It translates and decides nothing: what may be asked, and what is answered, is
// package transport's contract, which the coordinator serves on the bus as well.
// It lets everybody in: who may reach it is its owner's affair (server,
// with package access). A caller whose name is known has it in their decisions.
//
// Beside the service it serves gRPC reflection, grpc.health.v1 and the OpenAPI
// document of all this.
//
// Invariants: a message beyond MaxMessage is refused before it is read whole
// (I10); JSON that has a field nobody knows is refused (I9), so that a misspelt
// wish is not silently ignored.
//
// Failure looks like a Connect code with a sentence that says what would be right,
// and a Refusal as its detail: the operations that are legal, when to ask again, which
// fields were wrong.
//
// A client is the generated one:
//
//	c := apiv1connect.NewCoordinatorServiceClient(http.DefaultClient, "http://127.0.0.1:8080")
//	r, err := c.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: "order-42"}))
package api
