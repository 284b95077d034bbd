// Package percent encodes and decodes header values as in the CloudEvents NATS binding: all bytes
// except printable ASCII, and space, double quote and percent, become %XX. Only decoding can fail,
// on invalid escapes.
package percent
