// Command order-checkout is a checkout on Amends: a saga over four services that
// succeeds, fails and is taken back, and an audit that holds the services' books
// against each other.
//
//	order-checkout                  everything in one process: NATS, coordinator, services, customers, audit
//	order-checkout service payment  one service, for a container of its own
//	order-checkout load             the customers
//	order-checkout audit            the audit
//
//	load ──start──▶ coordinator ══commands══▶ order · inventory · payment · shipping
//	                     ▲                        │            each with its own SQLite file
//	                     └────────answers─────────┘                     └──▶ audit
//
// It is an example to read, in this order: checkout, definition, payment. It does
// not show how to run a shop.
//
// Failure looks like exit code 1: the books do not balance, or something could
// not be started; 2: the command line or the orders file is wrong.
package main
