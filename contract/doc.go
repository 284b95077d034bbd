// Package contract holds what coordinator, participants and callers have in common: the typed
// commands that participants offer and definitions use, names and ids, and the phases and outcomes
// of sagas.
//
//	definition (saga) ──uses──▶ contract ◀──serves── participant
//	                               ▲
//	                               └──names── client
//
// It imports only the standard library. That keeps the coordinator's dependencies (expression
// language, store, bus) out of participants and callers.
//
// It makes no decisions and sends nothing.
//
// A failure is a *NameError: which name, what is wrong with it and what a valid one looks like.
package contract
