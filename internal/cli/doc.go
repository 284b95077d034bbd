// Package cli implements the coordinator's command line. Every command is a function that takes its
// input and output as arguments, so that it can be tested.
//
//	arguments, AMENDS_… variables, config file ──▶ Main ──┬─▶ server    (serve)
//	                                                      ├─▶ API       (start, show, cancel …, over Connect)
//	                                                      └─▶ boltstore (restore, offline backup)
//
// It is the only package that reads flags, environment variables and configuration files. It makes
// no decisions about sagas.
//
// A value is taken from the first of these sources that has it: the flag, the environment, the
// config file, the default. The command "config check" shows the source of each value.
//
// A failed command prints to stderr what went wrong and what to do next. It exits with one of the
// codes in exit.go.
package cli
