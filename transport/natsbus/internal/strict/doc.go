// Package strict stands between a NATS server and its client, and keeps from the client
// what would end its connection.
//
//	server ── MSG saga.event.x<CR>y … ──▶ Conn ── MSG saga.event.x<0x01>y … ──▶ nats.go
//
// A NATS server (2.15.2) takes a subject with a carriage return in it for one token, and
// stores the message; the client (nats.go 1.55.0) takes it for two and gives up the
// connection. One such message, which comes again after each reconnect, would keep a
// subscription from receiving anything (I9). In the lines of the protocol a carriage return
// that ends no line becomes the byte 0x01, which is in no name that anything reads.
//
// What does not begin as a NATS server does, or goes on with TLS, passes as it is.
package strict
