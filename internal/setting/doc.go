// Package setting finds the value of every flag that is not on the command line.
//
//	flag ─or else─▶ AMENDS_… variable ─or else─▶ config file ─or else─▶ default
//	                            │                    │
//	                            └───── Source ───────┘ ─▶ kong
//
// It does not know which flags there are, and does not look at the environment or
// at files by itself: both are handed to it. What a value means is package cli's
// and package server's.
//
// It keeps its part of I9: a config file that is wrong in any way costs a clear
// error and nothing else.
//
// Failure looks like Source.Problem: everything that is wrong at once, each with
// the variable or the key that it is wrong in, and never with a secret.
package setting
