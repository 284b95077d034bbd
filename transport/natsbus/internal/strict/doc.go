// Package strict filters what a NATS server sends, so that no message can make the client drop its
// connection.
//
//	server ── MSG saga.event.x<CR>y … ──▶ Conn ── MSG saga.event.x<0x01>y … ──▶ nats.go
//
// A NATS server (2.15.2) accepts a subject with a carriage return as one token, and stores the
// message. The client (nats.go 1.55.0) parses it as two tokens and drops the connection. One such
// message is redelivered after each reconnect, so the subscription would never receive anything
// again (I9). In protocol lines a carriage return that does not end the line is replaced by the
// byte 0x01, which no valid name contains.
//
// A connection that does not begin like a NATS server's, or switches to TLS, passes unchanged.
package strict
