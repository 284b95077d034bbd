// Command peers runs Restate beside Amends, one right after the other on the same machine and disk,
// and prints the ratios. Both run the checkout saga of coordinator bench, with every acknowledged
// step on disk.
//
//	N callers ─HTTP─▶ restate-server ─HTTP/2─▶ checkout, and 4 services (handlers do nothing)
//	N callers ─NATS─▶ coordinator bench: bus, coordinator, 4 participants (handlers do nothing)
//
// It needs Linux, the restate-server that npm install puts into node_modules, and the go command to
// build the coordinator. Everything listens on loopback. It asserts nothing: README.md says what the
// ratios do and do not mean. A failure is an error that names the system, and what to do next.
package main
