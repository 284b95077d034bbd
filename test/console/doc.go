// Package console uses the console in a browser: each page in Chromium, against a whole
// coordinator.
//
//	Chromium ──▶ (proxy that falls silent) ──▶ coordinator with console and API ──▶ services of a shop
//
// It holds tests only, behind the build tag lab: "make lab-console". They skip without Chromium,
// and what they ask of accessibility without axe-core. It does not test the API, which has its
// own tests. Failure looks like a failed test with what the page showed.
package console
