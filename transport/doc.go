// Package transport is the seam between Amends and the bus: the Envelope that
// travels, the subjects it travels on, and the Bus that carries it.
//
//	coordinator ── saga.command.<participant>.<action> ──▶ participant
//	coordinator ◀── saga.event.<participant>.<saga>.<step>.<direction>.<attempt> ── participant
//	coordinator ── saga.lifecycle.<definition>.<phase> ──▶ whoever listens
//	anybody     ── saga.dead.<origin> ──▶ operator
//
// The bus is soft state: it may lose, repeat, delay and reorder everything it
// accepted. Publish's success means "no need to send again soon", nothing more
// (I2). What the two ends do about it is their business, not the bus's.
//
// It does not know what a saga is; it knows the attributes that travel.
//
// Failure looks like an error per envelope from Publish, and like a message in
// the dead-letter stream, with its reason, for what came in and could not be
// understood (I9).
package transport
