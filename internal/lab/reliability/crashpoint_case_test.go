//go:build linux && crashpoints && lab

package reliability

import (
	"strings"

	"github.com/amends-dev/amends/internal/crashpoint"
)

// crash is one death: whose, where, and what leads there.
type crash struct {
	point string
	visit int
	owner string // the process that dies
	make  func(*lane, *crash) error

	died bool
}

// situation is who dies, and in which circumstances, where it is not under
// ordinary load.
type situation struct {
	owner string
	make  func(*lane, *crash) error
}

// owners are the processes that die at the points of a package under ordinary
// load.
var owners = map[string]string{
	"daemon": "coordinator", "coordinator": "coordinator", "boltstore": "coordinator", "outbox": "coordinator", "natsbus": "coordinator",
	"participant": "clearing", "sqlinbox": "clearing", "boltinbox": "bank",
}

// situations of the points that ordinary load does not reach.
var situations = map[string]situation{
	"server: secret not named yet":                        {"coordinator", withoutSecret},
	"boltstore: before the last commit":                   {"coordinator", stopping},
	"boltstore: before the file is closed":                {"coordinator", stopping},
	"boltstore: before the discarded records are removed": {"coordinator", stopping},
	"boltstore: after the discarded records are removed":  {"coordinator", stopping},
	"boltstore: before a definition is written":           {"coordinator", registering},
	"boltstore: file made":                                {"tool", making},
	"boltstore: buckets made":                             {"tool", making},
	"boltstore: backup begun":                             {"tool", backingUp},
	"boltstore: backup without its trailer":               {"tool", backingUp},
	"boltstore: restore begun":                            {"tool", restoring},
	"boltstore: restore received":                         {"tool", restoring},
	"boltstore: restore verified":                         {"tool", restoring},
	"boltstore: restore adopted":                          {"tool", restoring},
	"boltstore: restore named":                            {"tool", restoring},
	"boltstore: copy made":                                {"tool", copying},
	"boltstore: journal of an ended saga removed":         {"tool", expiring},
	"boltstore: before a tombstone":                       {"tool", expiring},
	"boltstore: between slices of expired sagas":          {"tool", expiring},
	"boltstore: tombstones dropped":                       {"tool", dropping},
	"outbox: before refused records are put back":         {"coordinator", withoutBus},
	"natsbus: before sending once more":                   {"coordinator", streamDeleted},
	"natsbus: loss noticed":                               {"coordinator", streamDeleted},
	"natsbus: before a stream is made":                    {"coordinator", bareServer},
	"natsbus: before a consumer is asked for":             {"clearing", underLoad},
	"natsbus: before a consumer is put right":             {"coordinator", pushed},
	"natsbus: consumer gone":                              {"coordinator", consumerDeleted},
	"natsbus: consumer recreated":                         {"coordinator", consumerDeleted},
	"natsbus: before a dead letter":                       {"coordinator", unknownSaga},
	"natsbus: dead letter stored":                         {"coordinator", unknownSaga},
	"natsbus: malformed message received":                 {"coordinator", malformed},
	"natsbus: malformed message moved":                    {"coordinator", malformed},
	"natsbus: bundle opened":                              {"coordinator", bundled},
	"natsbus: dead letter replayed":                       {"tool", replaying},
	"natsbus: sources closed":                             {"coordinator", stopping},
	"participant: before a dead letter":                   {"clearing", unanswerable},
	"participant: stopping, no more commands":             {"clearing", stopping},
	"participant: stopping, all served":                   {"clearing", stopping},
	"participant: stopping, all published":                {"clearing", stopping},
}

// thirds are points at which a process also dies at the third visit, when others
// of the same batch or of other sagas have passed.
var thirds = []string{
	"boltstore: after state put", "boltstore: before commit", "boltstore: after commit",
	"boltstore: between answers", "outbox: before publish", "outbox: after publish", "natsbus: between sends",
	"natsbus: between acknowledgements", "participant: after the inbox", "participant: after publish",
	"sqlinbox: before commit", "sqlinbox: after commit", "boltinbox: after commit",
}

// crashes are all of them: those of the coordinator first, because an answer
// that it has not acknowledged comes again after half a minute only.
func crashes() []*crash {
	var all []*crash
	for _, owner := range []string{"coordinator", "tool", "bank", "clearing"} {
		for _, point := range crashpoint.All {
			pkg, _, _ := strings.Cut(point, ": ")
			s, special := situations[point]
			if !special {
				s = situation{owners[pkg], underLoad}
			}
			if s.owner == owner {
				all = append(all, &crash{point: point, visit: 1, owner: s.owner, make: s.make})
			}
		}
		for _, point := range thirds {
			pkg, _, _ := strings.Cut(point, ": ")
			if owners[pkg] == owner {
				all = append(all, &crash{point: point, visit: 3, owner: owner, make: underLoad})
			}
		}
	}
	return all
}
