// Package quota limits concurrent work, in total and per caller, so that one caller cannot
// block all others (I10, I13).
//
//	Take(ada) ──▶ room in all? ──▶ room for ada? ──▶ yes … Give(ada)
//	                   └── no: ErrAll    └── no: ErrEach
//
// Take does not wait. A caller is any string. The package keeps no data about callers without work
// in progress.
package quota
