// Command coordinator runs a saga coordinator, or sends operators' requests to a running one.
//
//	coordinator serve ──▶ server      everything else ──▶ internal/cli ──▶ API of a running coordinator
//
// "coordinator --help" lists the commands; docs/OPERATING.md describes them. The code is in package
// cli. A failed command prints a message to stderr and exits with a non-zero code.
package main
