// Package javascript proves that a participant needs no SDK. participant.mjs is written in
// JavaScript according to docs/WIRE.md, and its test acts as the coordinator.
//
//	test ── bytes of proto/testdata ──▶ SAGA_COMMANDS ──▶ node participant.mjs
//	test ◀────────── SAGA_EVENTS ◀── answers ────────────────────┘
//
// It runs a real Node process and a real server, with the permissions that docs/WIRE.md gives a
// participant. Only TestSaga runs a coordinator.
//
// It checks I5 (once per idempotency key, tombstones) and I9 (invalid commands) in a different
// language. A failure is a wrong or missing answer. If Node or its modules are missing, the tests
// are skipped and say how to install them:
//
//	npm ci --prefix test/javascript
package javascript
