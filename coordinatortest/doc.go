// Package coordinatortest runs a coordinator inside a test, together with participants and callers.
// The coordinator keeps its sagas in memory, and messages go through package membus: there are no
// files, no network and no NATS server.
//
//	bus := coordinatortest.Start(t, definition)
//	coordinatortest.Run(t, bus, payments, stock)
//	saga, err := client.New(bus).Run(t.Context(), definition, input)
//
// The test covers what happens between services: the messages, in JSON, and the coordinator's
// decisions. A single handler is tested with package participanttest, and a definition alone with
// package sagatest. For a coordinator that is stored on disk and reached over NATS, start a
// server.Server in the test.
package coordinatortest
