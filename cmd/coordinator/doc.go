// Command coordinator runs a saga coordinator and operates one.
//
//	coordinator serve ──▶ server      everything else ──▶ internal/cli ──▶ NATS ──▶ a running coordinator
//
// "coordinator --help" lists the commands; docs/OPERATING.md describes them. The code is in
// package cli. Failure looks like a message on stderr and a non-zero exit code.
package main
