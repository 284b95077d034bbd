// Package boltcheck checks the structure of a bbolt file before bbolt opens it.
//
//	Roots ─▶ root page (newest) ─▶ Check ─▶ branch and leaf pages, buckets, freelist
//	         root page (older)
//
// bbolt trusts the headers of its pages: a flipped bit in a header can make bbolt free millions of
// pages, loop forever or skip records. This package reads the file from the root pages on and
// verifies every header and element table. It changes nothing, and does not read keys and values
// beyond their order and length: whoever writes records gives them checksums of their own. The file
// must not change during the check.
package boltcheck
