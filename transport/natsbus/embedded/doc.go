// Package embedded runs a NATS server with JetStream inside the process: for one
// binary on a laptop, and for tests that want the real thing.
//
//	┌ process ──────────────────────────────┐
//	│ natsbus ══ in process, or TCP ══ Server ── StoreDir
//	└───────────────────────────────────────┘
//
// It is its own package so that a program that uses natsbus with a remote server does not compile
// a server.
//
// The bus is soft state (I2): what the server loses is sent again. SyncInterval bounds how much a
// power cut can lose. Failures are errors from Start that name the directory or the port.
package embedded
