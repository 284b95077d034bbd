// Package boltinbox keeps a participant's inbox in the service's own bbolt
// database, in the transaction of the handler's writes.
//
//	db.Update ─ read the entry ─ work (the handler writes) ─┬─ keep: store the entry, commit
//	                                                        └─ else: discard the transaction
//	db.Update ─ if the entry is still the same: store the new one, commit; else from the start
//
// bbolt has one writer at a time and one process per file: that is the lock which
// keeps I5. Each answer costs one fsync, and handlers run one after the other,
// however many the participant allows: keep them short. A handler writes through
// the transaction it is given; db.Update inside a handler would wait for itself
// for ever.
//
// Entries live in the bucket amends_inbox, each with a checksum, because bbolt's
// own pages have none. It does not open or close the database.
//
// Failure looks like an error that names the operation. A *DamageError says that
// an entry is not what was stored; the step is then answered as failed, since
// nobody can tell whether it was done.
package boltinbox
