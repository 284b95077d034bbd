package coordinator

import (
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Bounds of the figures that a coordinator keeps of itself (I10). What comes first
// is counted; beyond a bound there are no figures for what is new.
const (
	MaxDefinitionFigures  = 1024
	MaxStepFigures        = 4096
	MaxParticipantFigures = 1024
	// seriesSeconds is how far back the series of the overview goes.
	seriesSeconds = 120
	// rateSeconds is what rates are of.
	rateSeconds = 10
)

// runStats are what a coordinator has counted since it was made: what its operators
// look at. They are gone with the process; metrics are for the long run.
type runStats struct {
	mu           sync.Mutex
	since        time.Time
	seconds      [seriesSeconds]second
	completed    int64
	ended        int64
	answers      int64
	failed       int64
	commit       histogram
	definitions  map[contract.DefinitionRef]*definitionStats
	steps        int // in all definitions
	participants map[string]*participantStats
	pausedIndex  pausedIndex
}

// second is what happened in one second.
type second struct {
	at                                                                    int64 // Unix; another one's: empty
	started, refused, completed, compensated, parked, failed, transitions int64
}

type definitionStats struct {
	duration histogram
	steps    map[contract.StepName]*stepStats
}

type stepStats struct {
	completed, rejected, failed int64
	do, undo                    histogram
}

type participantStats struct {
	answers int64
	last    time.Time
	latency histogram
}

var _ Observer = (*runStats)(nil)

func newRunStats(since time.Time) *runStats {
	return &runStats{since: since, definitions: map[contract.DefinitionRef]*definitionStats{}, participants: map[string]*participantStats{}, pausedIndex: pausedIndex{ids: map[contract.SagaID]bool{}}}
}

// Transition counts one accepted event.
func (f *runStats) Transition(t Transition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.second(t.At)
	s.transitions++
	f.see(&t)
	if t.Event == contract.EventStarted {
		s.started++
	}
	if t.After == contract.Parked && t.Before != contract.Parked {
		s.parked++
	}
	d := f.definition(t.Definition)
	if t.Ended {
		f.end(s, &t)
		if d != nil {
			d.duration.add(t.At.Sub(t.Started))
		}
	}
	if t.Event == contract.EventStepAnswered {
		f.answer(s, d, &t)
	}
}

func (f *runStats) end(s *second, t *Transition) {
	f.ended++
	switch t.After {
	case contract.Completed:
		f.completed++
		s.completed++
	case contract.Compensated:
		s.compensated++
	}
}

func (f *runStats) answer(s *second, d *definitionStats, t *Transition) {
	f.answers++
	if t.Outcome == contract.OutcomeFailed {
		f.failed++
		s.failed++
	}
	if p := f.participant(t.Participant); p != nil {
		p.answers++
		p.last = t.At
		if t.Waited > 0 {
			p.latency.add(t.Waited)
		}
	}
	step := f.step(d, t.Step)
	if step == nil {
		return
	}
	switch t.Outcome {
	case contract.OutcomeCompleted:
		step.completed++
	case contract.OutcomeRejected:
		step.rejected++
	case contract.OutcomeFailed:
		step.failed++
	}
	switch {
	case t.Waited <= 0:
	case t.Direction == contract.DirectionUndo:
		step.undo.add(t.Waited)
	default:
		step.do.add(t.Waited)
	}
}

// second is the place of a time in the series. A clock that goes back does not
// take away what was counted since.
func (f *runStats) second(t time.Time) *second {
	at := t.Unix()
	s := &f.seconds[uint64(at)%seriesSeconds]
	if s.at < at {
		*s = second{at: at}
	}
	return s
}

func (f *runStats) definition(ref contract.DefinitionRef) *definitionStats {
	d := f.definitions[ref]
	if d == nil && len(f.definitions) < MaxDefinitionFigures {
		d = &definitionStats{steps: map[contract.StepName]*stepStats{}}
		f.definitions[ref] = d
	}
	return d
}

func (f *runStats) step(d *definitionStats, name contract.StepName) *stepStats {
	if d == nil {
		return nil
	}
	s := d.steps[name]
	if s == nil && f.steps < MaxStepFigures {
		f.steps++
		s = &stepStats{}
		d.steps[name] = s
	}
	return s
}

func (f *runStats) participant(name string) *participantStats {
	p := f.participants[name]
	if p == nil && len(f.participants) < MaxParticipantFigures {
		p = &participantStats{}
		f.participants[name] = p
	}
	return p
}

// Committed counts one batch.
func (f *runStats) Committed(_ int, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commit.add(took)
}

// Ignored is not counted.
func (f *runStats) Ignored(machine.Ignored) {}

// DeadLetter is not counted: the bus knows how many there are.
func (f *runStats) DeadLetter(string) {}

// Published is not counted.
func (f *runStats) Published(int, int) {}

// TimersOvertook is not counted.
func (f *runStats) TimersOvertook() {}

// ClockSet is not counted.
func (f *runStats) ClockSet(time.Duration) {}

// AnnouncementsDropped is not counted.
func (f *runStats) AnnouncementsDropped(int) {}

// TraceDropped is not counted.
func (f *runStats) TraceDropped() {}

// StartRefused counts one start that was too much.
func (f *runStats) StartRefused(_ string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.second(at).refused++
}

// both tells two observers.
type both struct{ one, other Observer }

func (b both) Transition(t Transition) { b.one.Transition(t); b.other.Transition(t) }

func (b both) Ignored(i machine.Ignored) { b.one.Ignored(i); b.other.Ignored(i) }

func (b both) DeadLetter(reason string) { b.one.DeadLetter(reason); b.other.DeadLetter(reason) }

func (b both) StartRefused(limit string, at time.Time) {
	b.one.StartRefused(limit, at)
	b.other.StartRefused(limit, at)
}

func (b both) TraceDropped() { b.one.TraceDropped(); b.other.TraceDropped() }

func (b both) Committed(sagas int, took time.Duration) {
	b.one.Committed(sagas, took)
	b.other.Committed(sagas, took)
}

func (b both) Published(accepted, refused int) {
	b.one.Published(accepted, refused)
	b.other.Published(accepted, refused)
}

func (b both) ClockSet(by time.Duration) {
	b.one.ClockSet(by)
	b.other.ClockSet(by)
}

func (b both) TimersOvertook() {
	b.one.TimersOvertook()
	b.other.TimersOvertook()
}

func (b both) AnnouncementsDropped(announcements int) {
	b.one.AnnouncementsDropped(announcements)
	b.other.AnnouncementsDropped(announcements)
}
