// Package console is the coordinator's web console: it shows sagas, and lets operators resolve
// problems. It is embedded in the program. No part is loaded from elsewhere, and building the
// program does not need Node.
//
//	browser ──▶ Handler ──▶ dist/   built from internal/console/web and committed
//	   │
//	   └──────▶ package httpapi     all data and operations
//
// The console makes no decisions, and knows only what the API returns. An operator at the console
// can do what a program with the same role can do.
//
// Invariants: a page loads and requests only what its own origin serves. It runs only scripts and
// styles that are files (Content-Security-Policy without unsafe-inline). Files are named after
// their content and never change; the page itself is not cached.
//
// On a failure, the page shows a sentence that suggests a fix. An unknown address is answered with
// 404.
package console
