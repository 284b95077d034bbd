// Package daemon puts one coordinator together and runs it: store, bus,
// coordinator and health endpoints, started in this order and stopped in
// reverse.
//
//	boltstore ◀── coordinator ──▶ natsbus ──▶ embedded NATS server, or an external one
//	                  ▲  │
//	      /readyz ────┘  └──▶ /metrics
//
// It is what "coordinator serve" runs, and what an example or a test starts in
// its own process:
//
//	err := daemon.Run(ctx, daemon.Config{DataDir: dir}, func(a daemon.Addresses) {
//		// a.NATS is where services connect; a.Connect gives a bus without the network
//	})
//
// It reads no flags and no environment, and it handles no signals: ctx ends the
// run. It does not decide anything.
//
// Stopping keeps I1 and I2: the coordinator stops taking in, commits what it has
// and returns; only then do bus, server and store close.
//
// Failure looks like an error that says which part failed. When the store broke,
// errors.Is(err, store.ErrBroken) holds and the process should end: a failed
// write to disk must not be tried again.
package daemon
