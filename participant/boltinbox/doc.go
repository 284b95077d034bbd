// Package boltinbox stores a participant's inbox in the service's own bbolt database, in the same
// transaction as the handler's writes.
//
//	db.Update ─ read the entry ─ work (the handler writes) ─┬─ keep: store the entry, commit
//	                                                        └─ else: discard the transaction
//	db.Update ─ if the entry is unchanged: store the new one, commit; otherwise start again
//
// bbolt's locks allow one writer at a time and one process per file, which keeps I5. Each answer
// needs one fsync, and handlers run one after the other, whatever the participant's Concurrency.
// Therefore handlers should be short. A handler must write through its transaction; if it calls
// db.Update, it deadlocks.
//
// Entries are in the bucket amends_inbox. Each has a checksum, because the pages of bbolt have
// none. The package does not open or close the database.
//
// Errors name the operation. A *DamageError reports an entry that has changed since it was stored.
// The step is then answered as failed, because it is unknown whether it was done.
package boltinbox
