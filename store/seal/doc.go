// Package seal encrypts and authenticates the business data in a store's records.
//
//	key file ─▶ LoadKeys ─▶ Keys ─▶ Seal(what, plain) ─▶ key name · salt · counter · AES-256-GCM
//	                             ◀─ Open(what, sealed)
//
// Every key has a name, which is stored with the data that it encrypts. The first key of a file
// encrypts and all of them decrypt, so keys can be rotated. Sealed data is bound to what the caller
// passes as its description, and cannot be opened as anything else.
//
// The package does not decide which data is sealed, and stores nothing: stores do (ADR 0017). A
// missing or wrong key is reported as an error that names the key, never as other data.
package seal
