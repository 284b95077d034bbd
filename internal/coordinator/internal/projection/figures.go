package projection

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Limits of the statistics that one part keeps (I10). When a limit is reached, further definitions,
// steps or participants have no statistics.
const (
	MaxDefinitionFigures  = 1024
	MaxStepFigures        = 4096
	MaxParticipantFigures = 1024
	// SeriesSeconds is the length of an overview's time series.
	SeriesSeconds = 120
	// rateSeconds is the period over which rates are averaged.
	rateSeconds = 10
)

// figures holds the statistics of a part's sagas since the process started, for operators. They are
// lost when the process ends; use metrics for long-term statistics.
type figures struct {
	seconds      [SeriesSeconds]second
	completed    int64
	ended        int64
	answers      int64
	failed       int64
	commit       histogram
	definitions  map[contract.DefinitionRef]*definitionFigures
	steps        int // number of steps, over all definitions
	participants map[string]*participantFigures
}

// second counts what happened in one second.
type second struct {
	at                                                           int64 // Unix time of the second
	started, completed, compensated, parked, failed, transitions int64
}

type definitionFigures struct {
	duration histogram
	steps    map[contract.StepName]*stepFigures
}

type stepFigures struct {
	completed, rejected, failed int64
	do, undo                    histogram
}

type participantFigures struct {
	answers int64
	last    time.Time
	latency histogram
}

func newFigures() figures {
	return figures{definitions: map[contract.DefinitionRef]*definitionFigures{}, participants: map[string]*participantFigures{}}
}

// Committed counts the duration of a commit of this part's sagas.
func (pt *Part) Committed(took time.Duration) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	pt.figures.commit.add(took)
}

// count counts one applied event.
func (f *figures) count(c *Change) {
	s := f.second(c.At)
	s.transitions++
	if c.Event == contract.EventStarted {
		s.started++
	}
	if c.Phase == contract.PhaseParked && c.Before != contract.PhaseParked {
		s.parked++
	}
	d := f.definition(c.Definition)
	if !c.Open {
		f.end(s, c)
		if d != nil {
			d.duration.add(c.At.Sub(c.Started))
		}
	}
	if c.Event == contract.EventStepAnswered {
		f.answer(s, d, c)
	}
}

func (f *figures) end(s *second, c *Change) {
	f.ended++
	switch c.Phase {
	case contract.PhaseCompleted:
		f.completed++
		s.completed++
	case contract.PhaseCompensated:
		s.compensated++
	}
}

func (f *figures) answer(s *second, d *definitionFigures, c *Change) {
	f.answers++
	if c.Outcome == contract.OutcomeFailed {
		f.failed++
		s.failed++
	}
	if p := f.participant(c.Participant); p != nil {
		p.answers++
		if c.At.After(p.last) {
			p.last = c.At
		}
		if c.Waited > 0 {
			p.latency.add(c.Waited)
		}
	}
	step := f.step(d, c.Step)
	if step == nil {
		return
	}
	switch c.Outcome {
	case contract.OutcomeCompleted:
		step.completed++
	case contract.OutcomeRejected:
		step.rejected++
	case contract.OutcomeFailed:
		step.failed++
	}
	switch {
	case c.Waited <= 0:
	case c.Direction == contract.DirectionUndo:
		step.undo.add(c.Waited)
	default:
		step.do.add(c.Waited)
	}
}

// second returns the entry of the series for a time. If the clock goes back, newer counts are not
// overwritten.
func (f *figures) second(t time.Time) *second {
	at := t.Unix()
	s := &f.seconds[uint64(at)%SeriesSeconds]
	if s.at < at {
		*s = second{at: at}
	}
	return s
}

func (f *figures) definition(ref contract.DefinitionRef) *definitionFigures {
	d := f.definitions[ref]
	if d == nil && len(f.definitions) < MaxDefinitionFigures {
		d = &definitionFigures{steps: map[contract.StepName]*stepFigures{}}
		f.definitions[ref] = d
	}
	return d
}

func (f *figures) step(d *definitionFigures, name contract.StepName) *stepFigures {
	if d == nil {
		return nil
	}
	s := d.steps[name]
	if s == nil && f.steps < MaxStepFigures {
		f.steps++
		s = &stepFigures{}
		d.steps[name] = s
	}
	return s
}

func (f *figures) participant(name string) *participantFigures {
	p := f.participants[name]
	if p == nil && len(f.participants) < MaxParticipantFigures {
		p = &participantFigures{}
		f.participants[name] = p
	}
	return p
}

// refusals counts refused starts. A refused start creates no saga, so it belongs to no part.
type refusals struct {
	mu      sync.Mutex
	seconds [SeriesSeconds]struct{ at, refused int64 }
}

// Refused counts one refused start.
func (p *Projection) Refused(now time.Time) {
	r := &p.refused
	r.mu.Lock()
	defer r.mu.Unlock()
	at := now.Unix()
	s := &r.seconds[uint64(at)%SeriesSeconds]
	if s.at < at {
		s.at, s.refused = at, 0
	}
	s.refused++
}

// in returns the number of starts refused in the given second.
func (r *refusals) in(at int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := &r.seconds[uint64(at)%SeriesSeconds]; s.at == at {
		return s.refused
	}
	return 0
}

// Second holds the counts of one second.
type Second struct {
	At          time.Time
	Started     int64
	Refused     int64 // number of refused starts
	Completed   int64
	Compensated int64
	Parked      int64
	Failed      int64 // number of failed answers
	Transitions int64
}

// Figures holds the statistics of all sagas.
type Figures struct {
	Since            time.Time // start of counting
	Series           []Second  // the last SeriesSeconds
	Rates            Rates
	Commit           *Latency            // nil if nothing has been committed yet
	Durations        map[string]*Latency // of ended sagas, by definition name
	CompensatedShare float64             // share of ended sagas that did not complete
	FailedShare      float64             // share of answers that are failures
}

// Rates holds averages per second over the last ten seconds, without the current second.
type Rates struct{ Started, Refused, Ended, Transitions float64 }

// Figures returns the statistics of all sagas.
func (p *Projection) Figures(now time.Time) Figures {
	var series [SeriesSeconds]second
	var completed, ended, answers, failed int64
	var commit histogram
	durations := map[string]*histogram{}
	first := now.Unix() - SeriesSeconds + 1
	p.merged(func(f *figures) {
		for i := range series {
			series[i].add(&f.seconds[uint64(first+int64(i))%SeriesSeconds], first+int64(i))
		}
		completed, ended, answers, failed = completed+f.completed, ended+f.ended, answers+f.answers, failed+f.failed
		commit.merge(&f.commit)
		for ref, d := range f.definitions {
			if durations[ref.Name] == nil {
				durations[ref.Name] = &histogram{}
			}
			durations[ref.Name].merge(&d.duration)
		}
	})
	out := Figures{
		Since: p.since, Commit: commit.latency(), Durations: map[string]*Latency{},
		CompensatedShare: Share(ended-completed, ended), FailedShare: Share(failed, answers),
	}
	for name, h := range durations {
		if l := h.latency(); l != nil {
			out.Durations[name] = l
		}
	}
	for i := range series {
		s, at := &series[i], first+int64(i)
		one := Second{
			At: time.Unix(at, 0).UTC(), Started: s.started, Refused: p.refused.in(at), Completed: s.completed, Compensated: s.compensated,
			Parked: s.parked, Failed: s.failed, Transitions: s.transitions,
		}
		out.Series = append(out.Series, one)
		if at >= now.Unix()-rateSeconds && at < now.Unix() {
			out.Rates.Started += float64(one.Started) / rateSeconds
			out.Rates.Refused += float64(one.Refused) / rateSeconds
			out.Rates.Ended += float64(one.Completed+one.Compensated) / rateSeconds
			out.Rates.Transitions += float64(one.Transitions) / rateSeconds
		}
	}
	return out
}

// add adds a part's counts if they are for the given second.
func (s *second) add(part *second, at int64) {
	if part.at != at {
		return
	}
	s.started += part.started
	s.completed += part.completed
	s.compensated += part.compensated
	s.parked += part.parked
	s.failed += part.failed
	s.transitions += part.transitions
}

// Share returns part divided by whole, or 0 if whole is 0.
func Share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// DefinitionFigures holds the statistics of one definition's sagas.
type DefinitionFigures struct {
	Duration *Latency // of ended sagas; nil if none has ended
	Steps    map[contract.StepName]StepFigures
}

// StepFigures holds the numbers of answers to one step, and their latencies.
type StepFigures struct {
	Completed, Rejected, Failed int64
	Do, Undo                    *Latency
}

// Definition returns the statistics of a definition's sagas.
func (p *Projection) Definition(ref contract.DefinitionRef) DefinitionFigures {
	var duration histogram
	steps := map[contract.StepName]*stepFigures{}
	p.merged(func(f *figures) {
		d := f.definitions[ref]
		if d == nil {
			return
		}
		duration.merge(&d.duration)
		for name, part := range d.steps {
			s := steps[name]
			if s == nil {
				s = &stepFigures{}
				steps[name] = s
			}
			s.completed, s.rejected, s.failed = s.completed+part.completed, s.rejected+part.rejected, s.failed+part.failed
			s.do.merge(&part.do)
			s.undo.merge(&part.undo)
		}
	})
	out := DefinitionFigures{Duration: duration.latency(), Steps: map[contract.StepName]StepFigures{}}
	for name, s := range steps {
		out.Steps[name] = StepFigures{s.completed, s.rejected, s.failed, s.do.latency(), s.undo.latency()}
	}
	return out
}

// ParticipantFigures holds the statistics of a participant's answers.
type ParticipantFigures struct {
	Name    string
	Answers int64
	Last    time.Time
	Latency *Latency // nil if unknown for all answers
}

// Participants returns the participants that have answered, sorted by name.
func (p *Projection) Participants() []ParticipantFigures {
	all := map[string]*participantFigures{}
	p.merged(func(f *figures) {
		for name, part := range f.participants {
			one := all[name]
			if one == nil {
				one = &participantFigures{}
				all[name] = one
			}
			one.answers += part.answers
			one.latency.merge(&part.latency)
			if part.last.After(one.last) {
				one.last = part.last
			}
		}
	})
	out := make([]ParticipantFigures, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		one := all[name]
		out = append(out, ParticipantFigures{name, one.answers, one.last, one.latency.latency()})
	}
	return out
}
