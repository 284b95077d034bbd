// Package bundle puts several messages into one, as a NATS client would publish each:
//
//	HPUB <subject> <bytes of headers> <bytes of headers and data>\r\n
//	NATS/1.0\r\n<name>: <value>\r\n…\r\n
//	<data>\r\n
//
// one behind the other (docs/WIRE.md; docs/adr/0018-bundles.md says why). A Writer writes
// it, Decode reads it, and a Group answers the server once, when all of its messages are
// answered.
//
// It does not decide what goes into a bundle, nor whether the sender may send it. Failure
// looks like an error that says at which byte of which message something else was expected.
package bundle
