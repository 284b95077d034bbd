// Package masked hides passwords in what is shown: configuration, logs and errors.
//
//	a value that is a URL, or several ──▶ URLs ──▶ nats://********@nats.example.com
//	text that may quote one: errors, logs ──▶ Text, Writer
//
// What stands before the @ goes as a whole, because a user without a password is a token.
// It knows the form of URLs and no secrets: a flag that is one by itself is hidden by
// package setting.
package masked
