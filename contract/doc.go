// Package contract holds the definitions that coordinator, participants and callers share: the
// typed commands that participants offer and saga definitions use, names and ids, and the phases
// and outcomes of sagas.
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
// A failure is a *NameError, which says which name is invalid, why, and what a valid name looks
// like, or a *JSONError, which says where data is not valid JSON.
package contract
