// Package javascript proves that a participant needs no SDK: participant.mjs is
// written in JavaScript from docs/WIRE.md, and its test plays the coordinator.
//
//	test ── bytes of proto/testdata ──▶ SAGA_COMMANDS ──▶ node participant.mjs
//	test ◀────────── SAGA_EVENTS ◀── answers ────────────────────┘
//
// It runs a real server, with the permissions for one participant that
// docs/WIRE.md gives, and a real Node process. It does not run a coordinator.
//
// It keeps I5 (once per idempotency key, tombstones) and I9 (bad commands) in
// another language. Failure looks like an answer that is wrong or missing; where
// Node or its modules are missing the test skips and says how to install them:
//
//	npm ci --prefix test/javascript
package javascript
