// Package natsaccount tells whether participants share the account of the coordinator on the NATS
// server, and why they should not. The bus logs it, and the doctor reports it.
//
//	a connection          ──▶ Of     ──▶ its account; Global if the server has no others
//	a consumer's metadata ──▶ Shared ──▶ whether the participant is in the coordinator's account
//
// A participant in the coordinator's account can set any subject as the reply subject of an
// acknowledgement or a pull request. The server publishes to that subject with its own permissions
// (docs/adr/0024-accounts.md), which the bus cannot prevent.
//
// Of fails if the server does not answer. The package keeps no state.
package natsaccount
