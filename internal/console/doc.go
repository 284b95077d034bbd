// Package console is the coordinator's console: a web page that shows sagas, and
// with which operators put right what is stuck. It is part of the program; nothing
// is loaded from elsewhere, and building the program needs no Node.
//
//	browser ──▶ Handler ──▶ dist/   what console/web builds, committed
//	   │
//	   └──────▶ package api         everything that the console knows or does
//
// It decides nothing and knows nothing that the API does not tell: a person at the
// console may do what a program with the same rights may do.
//
// Invariants: a page may load and ask only what comes from the address it came
// from, and runs no script or style that is not one of its files
// (Content-Security-Policy without unsafe-inline). Files are named after their
// content and never change; the page itself is asked for each time.
//
// Failure looks like a sentence on the page that says what would be right. An
// address that is none of the console's is a 404.
package console
