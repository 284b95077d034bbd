// Package masked hides passwords in configuration, logs and errors.
//
//	a value that is a URL, or several ──▶ URLs ──▶ nats://********@nats.example.com
//	text that may quote one: errors, logs ──▶ Text, Writer
//
// It masks everything before the @, because a user without a password is a token. It knows only the
// format of URLs. Package setting masks flags that are secrets themselves.
package masked
