// Package setting finds the values of flags that are not on the command line.
//
//	flag ─or else─▶ AMENDS_… variable ─or else─▶ config file ─or else─▶ default
//	                            │                    │
//	                            └───── Source ───────┘ ─▶ kong
//
// It does not know the flags, and does not read the environment or files itself: both are
// passed in. Packages cli and server interpret the values.
//
// It keeps its part of I9: an invalid config file results in a clear error and nothing
// else.
//
// Failure looks like Source.Problem: all problems at once, each with its variable or key,
// and without secrets.
package setting
