// Package natstest connects tests to NATS servers on a busy machine, where a connection may
// take longer to make than the server and its client allow.
//
//	test ──Connect──▶ nats.Connect, again if the server was quicker
//
// It keeps no invariant, starts no server (see transport/natsbus/embedded), and is for tests
// alone. An error is the last one of nats.Connect.
package natstest
