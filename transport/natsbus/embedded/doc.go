// Package embedded runs a NATS server with JetStream inside the process: for one
// binary on a laptop, and for tests that want the real thing.
//
//	┌ process ──────────────────────────────┐
//	│ natsbus ══ in process, or TCP ══ Server ── StoreDir
//	└───────────────────────────────────────┘
//
// It is a package of its own so that whoever imports natsbus to talk to a server
// elsewhere does not compile a server.
//
// The bus is soft state (I2): what the server loses is sent again. SyncInterval
// bounds how much a power cut can lose. Failure looks like an error from Start
// that names the directory or the port.
package embedded
