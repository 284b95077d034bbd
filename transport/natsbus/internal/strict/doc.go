// Package strict filters what a NATS server sends, so that no message can make the client close its
// connection.
//
//	server ── MSG saga.event.x<CR>y … ──▶ Conn ── MSG saga.event.x<0x01>y … ──▶ nats.go
//
// A NATS server (2.15.2) accepts a subject with a carriage return as one token, and stores the
// message. The client (nats.go 1.55.0) parses the subject as two tokens and closes the connection.
// Such a message is redelivered after each reconnect, so the subscription would never receive
// anything else (I9). Package strict replaces a carriage return that does not end a protocol line
// by the byte 0x01, which no valid name contains.
//
// Connections that begin with another protocol, or that switch to TLS, are not changed.
package strict
