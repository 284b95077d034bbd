// Package contract holds what the two ends of the bus agree on: the typed
// commands a participant offers and a definition uses, the names and ids that
// travel, and the words for where a saga stands.
//
//	definition (saga) ──uses──▶ contract ◀──serves── participant
//	                               ▲
//	                               └──names── client
//
// It is a leaf: it imports the standard library only. That keeps the import
// graph of a participant and of a caller free of the coordinator's machinery
// (no expression language, no store, no bus).
//
// It does not decide anything and it does not send anything.
//
// Failure looks like a *NameError: it says which name, what is wrong with it
// and what a right one looks like.
package contract
