// Command coordinator runs a saga coordinator and operates one.
//
//	coordinator serve ──▶ server      everything else ──▶ internal/cli ──▶ NATS ──▶ a running coordinator
//
// "coordinator --help" lists the commands; docs/OPERATING.md describes them. The
// program itself does nothing: see package cli. Failure looks like a line on
// stderr and an exit code other than 0; package cli lists them.
package main
