// Package proto holds the wire contract of Amends as protobuf: the envelope of every message, the
// data that Amends itself defines, what a store keeps of a saga, and the coordinator's API. The
// generated Go code is in amends/v1 (package amendsv1), amends/api/v1 (package apiv1) and
// amends/api/v1/apiv1connect.
//
//	amends/v1/envelope.proto    every message on the bus
//	amends/v1/message.proto     data of undo commands and announcements
//	amends/v1/record.proto      sagas, histories, pending messages, tombstones
//	amends/api/v1/api.proto     the API, served by package httpapi (docs/API.md)
//	released.binpb              the contract as last released, for buf breaking; there
//	                            is none before the first release
//	testdata/*.txt              each message on NATS, byte by byte (docs/WIRE.md)
//	testdata/vectors.json       test vectors of the API's JSON (docs/WIRE.md)
//
// It does not convert: packages internal/sagapb, internal/outboxpb and internal/apipb turn domain
// values into these messages and back. The server of the API (internal/httpapi) and its clients,
// such as internal/cli, use the generated types of the API directly.
//
// Invariant: field numbers and enumeration numbers are never reused (I8: a release reads what every
// earlier release wrote). A violation causes a failed `buf lint`, `buf breaking` or freshness check
// in CI.
package proto

//go:generate sh -c "cd .. && go tool -modfile=tools/go.mod buf lint"
//go:generate sh -c "cd .. && [ ! -e proto/released.binpb ] || go tool -modfile=tools/go.mod buf breaking --against proto/released.binpb"
//go:generate sh -c "cd .. && go tool -modfile=tools/go.mod buf generate"
