// Package server puts one coordinator together with its store, its bus, its API, its console
// and its health endpoints, and runs it: what "coordinator serve" does, in your own program.
//
//	s, err := server.Start(ctx, server.Config{DataDir: dir, Definitions: definitions})
//	status, err := s.Client().Run(ctx, Checkout, order)
//	err = s.Stop()
//
//	  store ◀── coordinator ──▶ natsbus ──▶ embedded NATS server, or an external one
//	                ▲  │
//	    /readyz ────┘  └──▶ /metrics, the API, the console
//
// Start returns once the server takes work. A program that does nothing else calls Run, which
// returns when it is stopped. New does no I/O: it reports everything that is wrong with the
// configuration; Server.Run runs once. The store is a boltstore in the data directory, or
// Config.Store. Services connect at Addresses().NATS, or in the same process with
// Addresses().Connect; Health is what stands still, Stopped says that it ended by itself.
//
// It reads no flags and no environment, handles no signals, and decides nothing.
//
// Stopping keeps I1 and I2: the coordinator stops taking in, commits what it has
// and returns; only then do bus, server and store close.
//
// Failure looks like an error that says which part failed. When the store broke,
// errors.Is(err, store.ErrBroken) holds and the process should end: a failed
// write to disk must not be tried again.
package server
