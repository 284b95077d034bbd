// Package doctor examines a running deployment and says, for each finding, what to
// do about it.
//
//	Deployment ──▶ Examine ──▶ findings: ok, warning, problem, unknown
//	  ├ API and health over HTTP: ready, clock, who is let in, sagas that wait
//	  ├ NATS: streams, copies, window, subscriptions, clock, encryption, passwords
//	  └ disks: the data directory, what JetStream may use
//
// It only looks: nothing is created, changed or sent. What it cannot see, because an
// address or a permission is missing, is a finding of grade unknown that says how
// to make it visible, and never "ok".
//
// Failure looks like a finding; Examine itself has no error.
package doctor
