// Package plural formats counts for people: 1 saga, 2 sagas.
//
//	plural.Of(n, "command waits", "commands wait")
//
// It knows no words: the caller gives both forms.
package plural
