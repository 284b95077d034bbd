package simulation

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is a kind of fault or disturbance. A run's Mix holds its probability per opportunity.
type Fault uint8

// The faults.
const (
	BusLoses Fault = iota
	BusDuplicates
	BusDelays
	BusReorders
	BusCorrupts
	BusRefuses
	BusForbids
	BusForgets
	CrashBeforeCommit
	CrashTornCommit
	CrashAfterCommit
	CrashWhileSending
	CrashBeforeAck
	CrashInRecovery
	CrashAnywhere
	SlowDisk
	ClockJumps
	Pauses
	Interleaves
	ServiceDiesBeforeCommit
	ServiceDiesBeforeAnswer
	ServiceDiesBeforeAck
	ServiceSlow
	ServiceForges
	Rejects
	Fails
	FailsForGood
	RejectsUndo
	RejectsBeyond
	Cancels
	Operates
	StartsAgain
	StartsOther
	RequestsLost
	RetentionForgets
	CutsOff
	BusAway
	ClaimUnanswered
	PausesBeforeSending
	Copies
	Restores
	OtherStores
	Moves
	Stops
	TakesOver
	faultKinds
)

// faultTable holds the name of each Fault and the highest probability that a run may draw.
var faultTable = [faultKinds]struct {
	name string
	most float64
}{
	BusLoses:                {"bus-loses", 0.2},
	BusDuplicates:           {"bus-duplicates", 0.3},
	BusDelays:               {"bus-delays", 0.2},
	BusReorders:             {"bus-reorders", 1},
	BusCorrupts:             {"bus-corrupts", 0.05},
	BusRefuses:              {"bus-refuses", 0.3},
	BusForbids:              {"bus-forbids", 0.01},
	BusForgets:              {"bus-forgets", 0.1},
	CrashBeforeCommit:       {"crash-before-commit", 0.05},
	CrashTornCommit:         {"crash-torn-commit", 0.05},
	CrashAfterCommit:        {"crash-after-commit", 0.05},
	CrashWhileSending:       {"crash-while-sending", 0.05},
	CrashBeforeAck:          {"crash-before-ack", 0.05},
	CrashInRecovery:         {"crash-in-recovery", 0.3},
	CrashAnywhere:           {"crash-anywhere", 0.2},
	SlowDisk:                {"slow-disk", 0.2},
	ClockJumps:              {"clock-jumps", 0.2},
	Pauses:                  {"pauses", 0.2},
	Interleaves:             {"interleaves", 0.3},
	ServiceDiesBeforeCommit: {"service-dies-before-commit", 0.1},
	ServiceDiesBeforeAnswer: {"service-dies-before-answer", 0.1},
	ServiceDiesBeforeAck:    {"service-dies-before-ack", 0.1},
	ServiceSlow:             {"service-slow", 0.2},
	ServiceForges:           {"service-answers-for-others", 0.05},
	Rejects:                 {"rejects", 0.15},
	Fails:                   {"fails", 0.3},
	FailsForGood:            {"fails-for-good", 0.05},
	RejectsUndo:             {"rejects-undo", 0.05},
	RejectsBeyond:           {"rejects-beyond-return", 0.02},
	Cancels:                 {"cancels", 0.3},
	Operates:                {"operates", 0.5},
	StartsAgain:             {"starts-again", 0.5},
	StartsOther:             {"starts-other", 0.3},
	RequestsLost:            {"requests-lost", 0.3},
	RetentionForgets:        {"retention-forgets", 0.5},
	CutsOff:                 {"coordinator-cut-off", 0.2},
	BusAway:                 {"bus-away", 0.15},
	ClaimUnanswered:         {"claim-unanswered", 0.2},
	PausesBeforeSending:     {"pauses-before-sending", 0.1},
	Copies:                  {"copies-of-stores", 0.15},
	Restores:                {"restored-stores", 0.15},
	OtherStores:             {"other-stores", 0.1},
	Moves:                   {"moved-stores", 0.1},
	Stops:                   {"stops-in-order", 0.1},
	TakesOver:               {"takes-over", 0.2},
}

// String returns the name of the fault on the command line.
func (k Fault) String() string { return faultTable[k].name }

// ParseFault returns the fault with the given name.
func ParseFault(name string) (Fault, error) {
	for k := range faultKinds {
		if faultTable[k].name == name {
			return k, nil
		}
	}
	names := make([]string, 0, faultKinds)
	for k := range faultKinds {
		names = append(names, k.String())
	}
	return 0, fmt.Errorf("there is no fault %q; the faults are %s", name, strings.Join(names, ", "))
}

// ParseFaults returns the faults with the given names.
func ParseFaults(names []string) ([]Fault, error) {
	found := make([]Fault, 0, len(names))
	for _, name := range names {
		k, err := ParseFault(name)
		if err != nil {
			return nil, err
		}
		found = append(found, k)
	}
	return found, nil
}

// Mix holds the probability of every fault in one run.
type Mix [faultKinds]float64

// newMix draws a mix. About a third of the faults are zero, so that faults do not hide each other;
// the others are anywhere up to their maximum. Faults from RetentionForgets on are drawn from
// later, and faults from CutsOff on from latest. Faults from BusAway on are drawn only in runs with
// claims. This way, kept runs stay the same.
func newMix(d, later, latest rng, off []Fault) Mix {
	var m Mix
	for k := range BusAway {
		switch k {
		case RetentionForgets:
			d = later
		case CutsOff:
			d = latest
		}
		m.draw(d, k, off)
	}
	return m
}

func (m *Mix) draw(d rng, k Fault, off []Fault) {
	on, setting := d.chance(2.0/3), d.Float64()*faultTable[k].most
	if on && !slices.Contains(off, k) {
		m[k] = setting
	}
}
