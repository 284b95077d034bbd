// Package percent encodes and decodes header values as in the CloudEvents NATS binding. Space,
// double quote, percent, and all bytes that are not printable ASCII become %XX. Only decoding can
// fail, if an escape is invalid.
package percent
