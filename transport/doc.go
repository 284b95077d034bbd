// Package transport is the seam between Amends and the bus: the Envelope that
// travels, the subjects it travels on, and the Bus that carries it.
//
//	coordinator ── saga.command.<participant>.<action> ──▶ participant
//	coordinator ◀── saga.event.<participant>.<saga>.<step>.<direction>.<attempt> ── participant
//	coordinator ── saga.lifecycle.<definition>.<phase> ──▶ whoever listens
//	anybody     ── saga.dead.<origin> ──▶ operator
//
// The bus is soft state: it may lose, repeat, delay and reorder everything it accepted. If Publish
// succeeds, that only means "no need to send again soon" (I2); coordinator and participants handle
// the rest.
//
// It knows messages and their attributes, but not sagas.
//
// A failure shows as an error per envelope from Publish, or as a dead letter with its reason for a
// received message that cannot be processed (I9).
package transport
