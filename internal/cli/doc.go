// Package cli is the coordinator's command line: every command as a function
// that takes its input and output as arguments, so that it can be tested.
//
//	arguments, AMENDS_… variables, config file ──▶ Main ──┬─▶ server    (serve)
//	                                                      ├─▶ API       (start, show, cancel …, over Connect)
//	                                                      └─▶ boltstore (restore, offline backup)
//
// It alone reads flags, environment and configuration files. It makes no decisions about
// sagas.
//
// A value comes from the flag, or else from the environment, or else from the
// config file, or else from the default; "config check" shows which.
//
// A failed command prints to stderr what went wrong and what to do next, and ends with one
// of the exit codes of exit.go.
package cli
