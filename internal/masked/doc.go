// Package masked hides passwords in configuration, logs and errors.
//
//	a value that is a URL, or several ──▶ URLs ──▶ nats://********@nats.example.com
//	text that may quote one: errors, logs ──▶ Text, Writer
//
// Everything before the @ is hidden, because a user without a password is a token. It knows
// the form of URLs only: flags that are secrets themselves are hidden by package setting.
package masked
