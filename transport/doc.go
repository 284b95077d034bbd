// Package transport is the interface between Amends and the bus. It defines the Envelope of a
// message, the subjects of messages, and the Bus that carries them.
//
//	coordinator ── saga.command.<participant>.<action> ──▶ participant
//	coordinator ◀── saga.event.<participant>.<saga>.<birth>.<step>.<direction>.<attempt> ── participant
//	coordinator ── saga.lifecycle.<definition>.<phase> ──▶ whoever listens
//	anybody     ── saga.dead.<stream>.<participant> ──▶ operator
//
// The bus is soft state. It may lose, repeat, delay and reorder accepted messages. The success of
// Publish only means that the message need not be sent again soon (I2). The coordinator and the
// participants tolerate all of this.
//
// The package knows messages and their attributes, but not sagas.
//
// If Publish fails, it returns an error or nil for each envelope. A received message that cannot be
// processed becomes a dead letter with a reason (I9).
//
// The package is for whoever implements a part of the coordinator. A minor version may add methods
// to its interfaces and change its types (RELEASING.md).
package transport
