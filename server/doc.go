// Package server runs a coordinator with its store, bus, API, console and health endpoints
// inside your own program, as "coordinator serve" does.
//
//	s, err := server.Start(ctx, server.Config{DataDir: dir, Definitions: definitions})
//	status, err := s.Client().Run(ctx, Checkout, order)
//	err = s.Stop()
//
//	  store ◀── coordinator ──▶ natsbus ──▶ embedded NATS server, or an external one
//	                ▲  │
//	    /readyz ────┘  └──▶ /metrics, the API, the console
//
// Start returns once the server accepts work. A program that does nothing else calls Run, which
// returns when the server is stopped. New does no I/O and reports all errors of the
// configuration; its Server can be run once. The store is a boltstore in the data directory, or
// Config.Store. Services connect to Addresses().NATS, or in the same process with
// Addresses().Connect. Health reports what is stalled; Stopped is closed when the server has
// stopped, also if a part failed.
//
// The package reads no flags and handles no signals. Of the environment it reads only OTEL_*, with
// Config.Traces.
//
// Stopping keeps I1 and I2: the coordinator accepts no more input, commits what it has and
// returns; only then are bus, NATS server and store closed.
//
// An error says which part failed. If the store broke, errors.Is(err, store.ErrBroken) holds
// and the process should exit, because a failed write to disk must not be retried.
package server
