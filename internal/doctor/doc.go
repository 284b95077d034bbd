// Package doctor examines a running deployment and suggests a fix for each problem.
//
//	Deployment ──▶ Examine ──▶ findings: ok, warning, problem, unknown
//	  ├ API and health over HTTP: readiness, clock, authentication, waiting sagas
//	  ├ NATS: streams, replicas, deduplication, subscriptions, clock, encryption, authentication
//	  └ disks: the data directory, JetStream storage
//
// It only reads: it creates, changes and sends nothing. A check that needs a missing
// address or permission is reported as unknown, with what to provide, and never as ok.
//
// Failure looks like a finding; Examine itself has no error.
package doctor
