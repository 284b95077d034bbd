// Package percent writes and reads header values as the CloudEvents NATS binding
// asks: everything but printable ASCII, and space, double quote and percent,
// travels as %XX. It does nothing else, and fails only on what is not so encoded.
package percent
