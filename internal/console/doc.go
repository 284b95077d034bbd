// Package console is the coordinator's web console: it shows sagas, and lets operators
// resolve problems. It is embedded in the program: nothing is loaded from elsewhere, and
// building the program does not need Node.
//
//	browser ──▶ Handler ──▶ dist/   built from internal/console/web and committed
//	   │
//	   └──────▶ package api         all data and operations
//
// It makes no decisions and knows only what the API returns. An operator at the console can
// do what a program with the same role can do.
//
// Invariants: a page loads and requests only what its own origin serves, and runs only
// scripts and styles that are files (Content-Security-Policy without unsafe-inline). Files
// are named after their content and never change; the page itself is not cached.
//
// Failure looks like a sentence on the page that says what to do. An unknown address is
// answered with 404.
package console
