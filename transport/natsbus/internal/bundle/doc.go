// Package bundle encodes several messages as one, in the form in which a NATS client publishes
// each:
//
//	HPUB <subject> <bytes of headers> <bytes of headers and data>\r\n
//	NATS/1.0\r\n<name>: <value>\r\n…\r\n
//	<data>\r\n
//
// The messages follow one another (docs/WIRE.md; docs/adr/0018-bundles.md gives the reasons). A
// Writer encodes a bundle and Decode decodes it. A Group acknowledges a bundle once all of its
// messages are acknowledged.
//
// It decides neither which messages are bundled nor whether the sender may send them. Decode
// returns errors with the message, the byte, and the expected input.
package bundle
