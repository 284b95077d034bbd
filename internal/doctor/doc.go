// Package doctor examines a running deployment and suggests a fix for each problem.
//
//	Deployment ──▶ Examine ──▶ findings: ok, warning, problem, unknown
//	  ├ API and health over HTTP: readiness, clock, authentication, waiting sagas
//	  ├ NATS: streams, replicas, deduplication, subscriptions, clock, encryption, authentication
//	  └ disks: the data directory, JetStream storage
//
// The package only reads: it creates, changes and sends nothing. If an address or a permission is
// missing, a check that needs it is reported as unknown and never as ok, and the finding says what
// to provide.
//
// Failures are reported as findings; Examine itself returns no error.
package doctor
