package crashpoint

import "slices"

// Environment variables that a build with the tag crashpoints reads.
const (
	Env    = "AMENDS_CRASHPOINT"      // name#visit at which to crash; the first visit if omitted
	LogEnv = "AMENDS_CRASHPOINTS_LOG" // file to which the name of every visited point is appended
)

// Died is the prefix of the last line in the log, which names the point at which the process killed
// itself.
const Died = "died at "

// Point names a package and a moment, for example "store: before Commit".
type Point string

// Points inside product code. Each comment says why a call of a seam cannot replace the point.
const (
	SecretUnnamed Point = "server: secret not named yet" // files have no seam

	BeforeCommit      Point = "boltstore: before commit"                 // one record serves several callers; no change is durable yet
	AfterCommit       Point = "boltstore: after commit"                  // one record serves several callers; all changes are durable, but no caller knows yet
	PieceWritten      Point = "boltstore: piece of a checkpoint written" // checkpoints are written in the background; the state has some of the sagas, and an old mark
	CheckpointMarked  Point = "boltstore: checkpoint marked"             // checkpoints are written in the background; the log still holds what the state contains
	LogReleased       Point = "boltstore: log released"                  // checkpoints are written in the background; segments may be reused
	LogUnnamed        Point = "boltstore: log not named yet"             // Open is one call: it creates a log, and then the state names it
	Replayed          Point = "boltstore: log replayed"                  // Open is one call: it replays the log, and then begins a segment
	FileUnnamed       Point = "boltstore: file not named yet"            // Open is one call: it creates a file, and then names it
	BackupOpen        Point = "boltstore: backup without its trailer"    // the backup's writer does not know that one write is missing
	RestoreReceived   Point = "boltstore: restore received"              // Restore is one call: it receives a file, and then adopts it
	RestoreUnnamed    Point = "boltstore: restore not named yet"         // Restore is one call: it adopts a file, and then names it
	RestoreNamed      Point = "boltstore: restore named"                 // Restore is one call: it names a file, and then moves a log aside that is in the way
	CopyUnnamed       Point = "boltstore: copy not named yet"            // Copy is one call
	TombstonesDropped Point = "boltstore: tombstones dropped"            // Expire commits once for each slice of tombstones
	SliceExpired      Point = "boltstore: slice expired"                 // Expire commits once for each slice of sagas and of tombstones

	BetweenSends       Point = "natsbus: between sends"                 // Publish is one call for a batch: part of the batch is sent
	BeforeResend       Point = "natsbus: before sending once more"      // Publish is one call for a batch: part of the batch is sent again, because its stream was missing
	StreamMissing      Point = "natsbus: before a stream is made"       // the bus checks its streams itself
	LossNoticed        Point = "natsbus: loss noticed"                  // the bus checks its streams itself
	ConsumerGone       Point = "natsbus: consumer gone"                 // the bus checks its consumers itself
	ConsumerWrong      Point = "natsbus: before a consumer is repaired" // the bus checks its consumers itself
	BeforeDeadLetter   Point = "natsbus: before a dead letter"          // malformed messages pass no seam; all others are moved after DeadLetter has returned
	DeadLetterStored   Point = "natsbus: dead letter stored"            // as before a dead letter; the message is stored, but not acknowledged yet
	DeadLetterReplayed Point = "natsbus: dead letter replayed"          // ReplayDeadLetter is one call: it sends the message again, and then removes the dead letter
	Claimed            Point = "natsbus: claimed"                       // Write is one call: it writes the claim, and then voids the previous claim
	ClaimVoid          Point = "natsbus: the claim before is void"      // Write is one call: it voids the previous claim, and then writes the token
)

// Inside lists the points in product code, ordered by package.
var Inside = []Point{
	SecretUnnamed,
	BeforeCommit, AfterCommit, PieceWritten, CheckpointMarked, LogReleased, LogUnnamed, Replayed,
	FileUnnamed, BackupOpen, RestoreReceived, RestoreUnnamed, RestoreNamed, CopyUnnamed, TombstonesDropped, SliceExpired,
	BetweenSends, BeforeResend, StreamMissing, ConsumerGone, ConsumerWrong, LossNoticed, BeforeDeadLetter, DeadLetterStored, DeadLetterReplayed, Claimed, ClaimVoid,
}

// Before returns the point before a call of a seam.
func Before(seam, call string) Point { return Point(seam + ": before " + call) }

// After returns the point after a call of a seam.
func After(seam, call string) Point { return Point(seam + ": after " + call) }

// AtSeams lists the points before and after each call of a seam; they are in the wrappers of
// internal/lab/seam.
var AtSeams = slices.Concat(
	[]Point{After("store", "Open"), After("bus", "Connect"), After("bus", "refused Publish")},
	around("store", "Definitions", "PutDefinition", "Clock", "LoadClaim", "SaveClaim", "Counts", "Destinations", "Pending", "Record",
		"Load", "Commit", "Discard", "Due", "Expire", "List", "History", "Check", "Backup", "Close"),
	around("backup", "Read", "Write"),
	around("claim", "Read", "Write", "Confirm"),
	around("bus", "Publish", "Subscribe", "Respond", "Provide", "Expect", "Load", "Check", "ListDeadLetters", "ReplayDeadLetter", "Close"),
	around("request", "Handle", "Reply"),
	around("source", "Receive", "Close"),
	around("delivery", "Ack", "DeadLetter"),
	around("inbox", "Update", "Work", "Prune"),
)

// All lists all points. A test checks that the code uses exactly these points.
var All = slices.Concat(Inside, AtSeams)

// around returns the points before and after the calls of a seam.
func around(seam string, calls ...string) (points []Point) {
	for _, call := range calls {
		points = append(points, Before(seam, call), After(seam, call))
	}
	return points
}
