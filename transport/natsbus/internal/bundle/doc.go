// Package bundle puts several messages into one, as a NATS client would publish each:
//
//	HPUB <subject> <bytes of headers> <bytes of headers and data>\r\n
//	NATS/1.0\r\n<name>: <value>\r\n…\r\n
//	<data>\r\n
//
// one after the other (docs/WIRE.md; docs/adr/0018-bundles.md says why). A Writer encodes it,
// Decode decodes it, and a Group answers the server once, when all of its messages are answered.
//
// It decides neither what goes into a bundle nor whether the sender may send it. Failures are
// errors that say at which byte of which message something else was expected.
package bundle
