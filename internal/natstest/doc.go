// Package natstest connects tests to NATS servers. On a busy machine, connecting may take longer
// than the timeouts of the server and its client.
//
//	test ──Connect──▶ nats.Connect, again if the server's timeout came first
//
// It is only for tests. It keeps no invariant and starts no server (see
// transport/natsbus/embedded). Connect returns the last error of nats.Connect.
package natstest
