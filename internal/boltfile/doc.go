// Package boltfile opens a bbolt file with the checks that bbolt lacks, and creates one that is either
// whole or not there. It knows nothing of what the file holds.
//
//	Open ─▶ boltcheck: root pages, size, pages ─▶ bbolt.Open, guarded
//	Guard: a panic of bbolt, or a fault in its memory map ─▶ *store.CorruptError
//	Create: temporary file ─▶ hard link ─▶ fsync of the directory
//
// A file that cannot be used is refused when it is opened (ErrLocked, ErrDamaged). bbolt trusts its pages,
// so damage that comes later makes it panic or fault: whatever touches a transaction runs in Guard.
package boltfile
