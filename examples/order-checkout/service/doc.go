// Package service runs one of the four services: its database, its inbox, its
// handlers and its connection to the bus.
//
//	order, inventory   SQLite ◀── inbox + handlers ◀──────────────────────▶ NATS
//	payment            SQLite ◀── inbox + handlers ◀──▶ fault.Bus ◀────────▶ NATS
//	shipping           SQLite ◀── inbox + handlers ◀──▶ Watermill router ◀─▶ NATS
//
// The demo starts it four times in one process; a container starts it once. Your own service needs
// only five lines of this package: open the database, create the inbox, connect, create the
// participant, and Run.
//
// Run returns an error if the service fails. A crash that an order causes is not an error: Run
// starts the service again, as an init system would.
package service
