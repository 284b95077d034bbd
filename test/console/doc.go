// Package console tests each page of the console in Chromium, against a complete coordinator.
//
//	Chromium ──▶ (proxy that falls silent) ──▶ coordinator with console and API ──▶ services of a shop
//
// It holds tests only. They need the build tag lab: "make lab-console" runs them. Without Chromium,
// they are skipped; without axe-core, only the accessibility checks are skipped. The package does
// not test the API, which has its own tests. A failure is a failed test with what the page showed.
package console
