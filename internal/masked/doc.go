// Package masked hides passwords in configuration, logs and errors.
//
//	a value that is a URL, or several ──▶ URLs ──▶ nats://********@nats.example.com
//	text that may quote URLs: errors, logs ──▶ Text, Writer
//
// It masks everything before the @, because a user without a password is a token. It recognizes
// only URLs. Package setting masks flags whose whole value is a secret.
package masked
