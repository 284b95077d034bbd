// Package cli is the coordinator's command line: every command as a function
// that takes its input and output as arguments, so that it can be tested.
//
//	arguments, AMENDS_… variables, config file ──▶ Main ──┬─▶ server    (serve)
//	                                                      ├─▶ API       (start, show, cancel …, over Connect)
//	                                                      └─▶ boltstore (restore, offline backup)
//
// It reads flags, environment and files, and nobody else does. It does not
// decide anything about sagas.
//
// A value comes from the flag, or else from the environment, or else from the
// config file, or else from the default; "config check" shows which.
//
// Failure looks like one line on stderr that says what went wrong and what to do
// next, and like one of the exit codes in exit.go.
package cli
