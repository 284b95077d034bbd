// Package log is the store's log: records that are appended one at a time, each durable before the
// next begins. The log decides; whatever state is kept follows from its records.
//
//	Append ─▶ frame (number, chain hash, CRC) ─▶ one write ─▶ fdatasync ─▶ Mark
//	                                                  │
//	directory   …0007.log   …0008.log   …0009.log   …0010.log   …0011.log
//	            released    records     records     spare       spare
//
// A File is a log in the segments of one directory. Segments are written full of zeros before they
// are needed, so that an append changes neither a file's size nor the directory. Released segments
// are renamed and used again. The last segment always stays a spare: that it is there proves that
// no later one is missing.
//
// The package keeps I2: when Append returns, the record is on disk. At most one record is under way,
// so at most one can be torn, and only the last. Replay cuts it. A record that cannot be read although
// a later one can is damage, which Replay refuses to pass over.
//
// The package does not know what records mean, seals nothing, and takes no snapshots: whoever keeps
// the state keeps the Mark up to which it goes (ADR 0042).
package log
