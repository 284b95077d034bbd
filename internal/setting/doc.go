// Package setting finds the values of flags that are not on the command line.
//
//	flag ─or else─▶ AMENDS_… variable ─or else─▶ config file ─or else─▶ default
//	                            │                    │
//	                            └───── Source ───────┘ ─▶ kong
//
// It does not know the flags. The caller passes functions that read the environment and files.
// Packages cli and server interpret the values.
//
// It keeps its part of I9: an invalid config file causes only a clear error.
//
// Source.Problem returns all problems at once, each with its variable or key, and without secrets.
package setting
