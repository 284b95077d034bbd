// Command order-checkout is a demo of Amends: a checkout saga over four services. Some orders
// complete and others compensate, and an audit compares the services' databases.
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
// To read the code, begin with packages checkout, definition and payment, in this order. It is
// not a template for a real shop.
//
// Exit code 1 means that the databases do not balance or that a component could not be started.
// Exit code 2 means that the command line or the orders file is wrong.
package main
