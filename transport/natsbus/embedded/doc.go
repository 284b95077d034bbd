// Package embedded runs a NATS server with JetStream in the process. It is for single-binary
// deployments, and for tests that need a real server.
//
//	┌ process ──────────────────────────────┐
//	│ natsbus ══ in process, or TCP ══ Server ── StoreDir
//	└───────────────────────────────────────┘
//
// It is a separate package so that a program that uses natsbus with a remote server does not
// compile a server.
//
// The bus is soft state (I2), so messages that the server loses are sent again. SyncInterval bounds
// how much a power failure can lose. Start returns errors that name the directory or the port.
package embedded
