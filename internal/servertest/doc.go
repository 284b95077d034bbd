// Package servertest runs a server in a test, and says when it takes work.
//
//	servertest.Run(ctx, config, started) ──▶ server.New, Server.Run; started(Addresses)
//
// It does not wait for anything but the server itself, and keeps no invariant. Failure looks
// like the error of Server.Run.
package servertest
