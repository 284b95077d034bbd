// Package log is the store's write-ahead log: records are appended one at a time, and each is durable
// before the next one begins. The log is authoritative; all other state is derived from its records.
//
//	Append ─▶ frame (number, chain hash, CRC) ─▶ one write ─▶ fdatasync ─▶ Mark
//	                                                  │
//	directory   …0007.log   …0008.log   …0009.log   …0010.log   …0011.log
//	            released    records     records     spare       spare
//
// A File is a log in the segments of one directory. Segments are preallocated: they are filled with
// zeros before they are needed, so that an append changes neither a file's size nor the directory.
// Released segments are renamed and reused, or removed if there are enough spares. The last segment
// is always a spare: its presence proves that no later segment with records is missing.
//
// The package keeps I2: when Append succeeds, the record is on disk. Only one record is written at a
// time, so only the last one can be torn. Replay discards a torn record. If a record cannot be read,
// but a later one can, the log is damaged: Replay fails and does not skip the record. Scan reads a log
// without changing it.
//
// The package does not interpret records, encrypts nothing, and takes no snapshots: whoever keeps
// the state also keeps the Mark of the last record that the state contains (ADR 0042).
package log
