// Package plural formats counts for people: 1 saga, 2 sagas.
//
//	plural.Of(n, "command waits", "commands wait")
//
// It contains no words; the caller passes both forms.
package plural
