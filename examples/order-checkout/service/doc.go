// Package service runs one of the four services: its database, its inbox, its
// handlers and its connection to the bus.
//
//	order, inventory   SQLite ◀── inbox + handlers ◀──────────────────────▶ NATS
//	payment            SQLite ◀── inbox + handlers ◀──▶ fault.Bus ◀────────▶ NATS
//	shipping           SQLite ◀── inbox + handlers ◀──▶ Watermill router ◀─▶ NATS
//
// It is what the demo starts four times in one process, and what a container
// starts once. A service of your own needs five lines of it: open the database,
// make the inbox, connect, make the participant, Run.
//
// Failure looks like an error from Run. A crash that an order asked for is not
// one: Run starts the service again, as an init system would.
package service
