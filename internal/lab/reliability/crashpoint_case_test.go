//go:build linux && crashpoints && lab

package reliability

import (
	"slices"

	"github.com/amends-dev/amends/internal/crashpoint"
)

// crash describes one crash: the process, the crash point, and how to reach it.
type crash struct {
	point crashpoint.Point
	visit int
	owner string // the process that crashes
	make  func(*lane, *crash) error

	died bool
}

// situation describes how a process reaches crash points, and at which visit of a point it crashes.
type situation struct {
	owner  string
	make   func(*lane, *crash) error
	visit  int
	points []crashpoint.Point
}

// situations starts with those of the coordinator, because the bus redelivers an answer that the
// coordinator did not acknowledge only after half a minute. By the third visit, other inputs of
// the same batch or of other sagas have passed the point.
var situations = []situation{
	{"coordinator", underLoad, 1, slices.Concat(
		[]crashpoint.Point{
			crashpoint.Replayed, after("store", "Open"), after("bus", "Connect"), crashpoint.Claimed, crashpoint.ClaimVoid,
			crashpoint.BeforeCommit, crashpoint.AfterCommit, crashpoint.BetweenSends,
		},
		around("store", "Definitions", "Clock", "LoadClaim", "SaveClaim", "Counts", "Destinations", "Pending", "Record", "Load", "Commit", "Discard", "Check"),
		around("claim", "Read", "Write"),
		around("bus", "Publish", "Subscribe", "Respond", "Expect"),
		around("request", "Handle", "Reply"),
		around("source", "Receive"),
		around("delivery", "Ack"),
	)},
	{"coordinator", underLoad, 3, slices.Concat(
		[]crashpoint.Point{crashpoint.BeforeCommit, crashpoint.AfterCommit, crashpoint.BetweenSends, after("source", "Receive"), before("request", "Reply")},
		around("store", "Commit"), around("bus", "Publish"), around("delivery", "Ack"),
	)},
	{"coordinator", withoutSecret, 1, []crashpoint.Point{crashpoint.SecretUnnamed}},
	{"coordinator", stopping, 1, slices.Concat(around("source", "Close"), around("store", "Close"))},
	// The first Write takes the claim; the second, at shutdown, releases it.
	{"coordinator", stopping, 2, append(around("claim", "Write"), crashpoint.Claimed, crashpoint.ClaimVoid)},
	{"coordinator", silence, 1, around("store", "Due")},
	{"coordinator", registering, 1, around("store", "PutDefinition")},
	{"coordinator", reading, 1, around("store", "List", "History")},
	{"coordinator", subscribing, 1, around("bus", "Provide")},
	{"coordinator", waiting, 1, slices.Concat([]crashpoint.Point{crashpoint.PieceWritten, crashpoint.CheckpointMarked, crashpoint.LogReleased},
		around("store", "Expire"), around("claim", "Confirm"), around("bus", "Load", "Check"))},
	{"coordinator", unknownSaga, 1, append(around("delivery", "DeadLetter"), crashpoint.BeforeDeadLetter, crashpoint.DeadLetterStored)},
	{"coordinator", malformed, 1, []crashpoint.Point{crashpoint.BeforeDeadLetter, crashpoint.DeadLetterStored}},
	{"coordinator", bundled, 1, around("delivery", "DeadLetter")},
	{"coordinator", withoutBus, 1, []crashpoint.Point{after("bus", "refused Publish")}},
	{"coordinator", streamDeleted, 1, []crashpoint.Point{crashpoint.LossNoticed, crashpoint.BeforeResend}},
	{"coordinator", bareServer, 1, []crashpoint.Point{crashpoint.StreamMissing}},
	{"coordinator", bareServer, 2, []crashpoint.Point{crashpoint.StreamMissing}},
	{"coordinator", consumerDeleted, 1, []crashpoint.Point{crashpoint.ConsumerGone}},
	{"coordinator", pushed, 1, []crashpoint.Point{crashpoint.ConsumerWrong}},

	{"tool", making, 1, []crashpoint.Point{crashpoint.FileUnnamed, crashpoint.LogUnnamed}},
	{"tool", backingUp, 1, []crashpoint.Point{before("store", "Backup"), before("backup", "Write"), after("backup", "Write"), crashpoint.BackupOpen}},
	{"tool", backedUp, 1, []crashpoint.Point{after("store", "Backup")}},
	{"tool", restoring, 1, append(around("backup", "Read"), crashpoint.RestoreReceived, crashpoint.RestoreUnnamed, crashpoint.RestoreNamed, after("store", "Open"))},
	{"tool", copying, 1, []crashpoint.Point{crashpoint.CopyUnnamed}},
	{"tool", expiring, 1, []crashpoint.Point{crashpoint.BeforeCommit, crashpoint.AfterCommit, crashpoint.SliceExpired}},
	{"tool", dropping, 1, []crashpoint.Point{crashpoint.TombstonesDropped}},
	{"tool", replaying, 1, append(around("bus", "ListDeadLetters", "ReplayDeadLetter"), crashpoint.DeadLetterReplayed)},

	// The first Update saves the claim, the second serves a command.
	{"bank", underLoad, 1, append(around("inbox", "Prune", "Update", "Work"), after("bus", "Connect"))},
	{"bank", underLoad, 2, around("inbox", "Update", "Work")},
	{"bank", underLoad, 3, []crashpoint.Point{after("inbox", "Work"), after("inbox", "Update")}},
	{"bank", rejecting, 2, around("inbox", "Update", "Work")},
	{"bank", stopping, 1, around("bus", "Close")},

	{"clearing", underLoad, 1, slices.Concat(
		[]crashpoint.Point{after("bus", "Connect")},
		around("bus", "Subscribe", "Publish"), around("source", "Receive"), around("delivery", "Ack"), around("inbox", "Update", "Work"),
	)},
	{"clearing", underLoad, 2, around("inbox", "Update", "Work")},
	{"clearing", underLoad, 3, slices.Concat([]crashpoint.Point{after("inbox", "Work"), after("inbox", "Update")}, around("bus", "Publish"), around("delivery", "Ack"))},
	{"clearing", unanswerable, 1, around("delivery", "DeadLetter")},
	{"clearing", stopping, 1, around("source", "Close")},
}

var before, after = crashpoint.Before, crashpoint.After

// around returns the points before and after the calls of a seam.
func around(seam string, calls ...string) (points []crashpoint.Point) {
	for _, call := range calls {
		points = append(points, before(seam, call), after(seam, call))
	}
	return points
}

// crashes returns all crashes.
func crashes() (all []*crash) {
	for _, s := range situations {
		for _, point := range s.points {
			all = append(all, &crash{point: point, visit: s.visit, owner: s.owner, make: s.make})
		}
	}
	return all
}
