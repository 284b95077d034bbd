// Package boltinbox stores a participant's inbox in the service's own bbolt database, in the
// transaction of the handler's writes.
//
//	db.Update ─ read the entry ─ work (the handler writes) ─┬─ keep: store the entry, commit
//	                                                        └─ else: discard the transaction
//	db.Update ─ if the entry is unchanged: store the new one, commit; otherwise start again
//
// bbolt allows one writer at a time and one process per file; that lock keeps I5. Each answer costs
// one fsync, and handlers run one after the other whatever the participant's Concurrency, so keep
// them short. A handler writes through the transaction it is given; calling db.Update in a handler
// deadlocks.
//
// Entries are in the bucket amends_inbox, each with a checksum, because bbolt's own pages have
// none. The package does not open or close the database.
//
// A failure shows as an error that names the operation. A *DamageError reports an entry that
// differs from what was stored; the step is then answered as failed, since it is unknown whether it
// was done.
package boltinbox
