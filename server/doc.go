// Package server runs a coordinator in your own program, with its store, bus, API, console and
// health endpoints, like the command "coordinator serve".
//
//	s, err := server.Start(ctx, server.Config{DataDir: dir, Definitions: definitions})
//	status, err := s.Client().Run(ctx, Checkout, order)
//	err = s.Stop(context.Background())
//
//	  store ◀── coordinator ──▶ natsbus ──▶ embedded NATS server, or an external one
//	                ▲  │
//	    /readyz ────┘  └──▶ /metrics, the API, the console
//
// Start returns once the server accepts work. A program that does nothing else calls Run, which
// returns when the server has stopped. New does no I/O and reports all errors in the configuration;
// a Server can be run once. The store is a boltstore in the data directory, or Config.Store.
// Services connect to Addresses().NATS, or in the same process with Connect. Health reports what is
// stalled. The channel Stopped is closed when the server has stopped, including after a failure of
// a part.
//
// The package reads no flags and handles no signals. The only environment variables that it reads
// are OTEL_*, if Config.Traces is set.
//
// The shutdown keeps I1 and I2: the coordinator accepts no more input, commits what it has and
// returns. Only then are bus, NATS server and store closed.
//
// An error names the part that failed. If the store failed, errors.Is(err, store.ErrBroken) holds
// and the process should exit, because a failed write to disk must not be retried.
package server
