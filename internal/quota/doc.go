// Package quota bounds what is under way at once, in all and of each caller, so that
// one caller's work does not keep out everybody else's (I10, I13).
//
//	Take(ada) ──▶ room in all? ──▶ room for ada? ──▶ yes … Give(ada)
//	                   └── no: ErrAll    └── no: ErrEach
//
// It does not wait, and it does not know who callers are: a caller is a text. What it
// remembers of one is gone when nothing of theirs is under way.
package quota
