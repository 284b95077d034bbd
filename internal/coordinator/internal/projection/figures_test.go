package projection

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// TestQuantiles checks that a quantile is within one bucket of the exact value, for a single
// histogram and for the sum of two.
func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(math.Pow(10, rapid.Float64Range(3, 14).Draw(t, "power"))) // 1 µs … 28 h
		}), 1, 60).Draw(t, "durations")
		var one, two histogram
		for i, d := range durations {
			[]*histogram{&one, &two}[i%2].add(d)
		}
		one.merge(&two)
		slices.Sort(durations)
		for _, share := range []float64{0.01, 0.5, 0.99, 1} {
			exact := durations[max(0, int(math.Ceil(share*float64(len(durations))))-1)].Seconds()
			got := one.quantile(share)
			if got > exact*1.26 && got > bound(1) || got < exact/1.26 && exact > bound(1) {
				t.Fatalf("quantile %v is %v, exactly %v of %v", share, got, exact, durations)
			}
		}
		if one.count != uint64(len(durations)) {
			t.Fatalf("%d are counted", one.count)
		}
	})
	for i := range len(histogram{}.buckets) - 1 {
		low := time.Duration(math.Ceil(bound(i) * 1e9))
		if got := bucketOf(low); got != i || bound(i) >= bound(i+1) {
			t.Errorf("%v is in bucket %d, not %d", low, got, i)
		}
	}
	if got := bucketOf(math.MaxInt64); got != len(histogram{}.buckets)-1 {
		t.Errorf("the longest is in bucket %d", got)
	}
	if got := bucketOf(-1); got != 0 {
		t.Errorf("less than nothing is in bucket %d", got)
	}
}

// TestFiguresAreBounded checks that definitions, steps and participants beyond the limits only lose
// their own statistics (I10).
func TestFiguresAreBounded(t *testing.T) {
	f := newFigures()
	for i := range 2 * MaxStepFigures {
		f.count(&Change{
			Standing: Standing{Definition: contract.DefinitionRef{Name: fmt.Sprint("d", i%(2*MaxDefinitionFigures)), Version: 1}, Open: true},
			Event:    contract.EventStepAnswered, Outcome: contract.OutcomeCompleted,
			Step: contract.StepName(fmt.Sprint("s", i)), Participant: fmt.Sprint("p", i), At: time.Unix(1000, 0), Waited: time.Second,
		})
	}
	if len(f.definitions) != MaxDefinitionFigures || f.steps != MaxStepFigures || len(f.participants) != MaxParticipantFigures {
		t.Errorf("kept are %d definitions, %d steps, %d participants", len(f.definitions), f.steps, len(f.participants))
	}
	if f.answers != 2*MaxStepFigures || f.seconds[1000%SeriesSeconds].transitions != 2*MaxStepFigures {
		t.Errorf("counted are %d answers", f.answers)
	}
}

// TestFiguresCount checks the counts per second over all parts, including after the clock goes
// back.
func TestFiguresCount(t *testing.T) {
	const parts = 3
	p := New(parts, func(id contract.SagaID) int { return int(id[len(id)-1]) % parts }, time.Unix(1000, 0))
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	apply := func(c Change) {
		c.Birth, c.Definition = 1, contract.DefinitionRef{Name: "shop", Version: 1}
		p.Of(c.Saga).Apply([]Change{c})
	}
	answered := Change{
		Event: contract.EventStepAnswered, Outcome: contract.OutcomeCompleted, Step: "pay", Participant: "bank",
		Before: contract.PhaseRunning, Waited: time.Second,
	}
	for i := range int64(20) {
		start := started(int(i))
		start.At, start.Started = at(1000+i), at(996+i)
		apply(start)
		end := answered
		end.Standing = Standing{Saga: start.Saga, Revision: 2, Phase: contract.PhaseCompleted}
		end.At, end.Started = at(1000+i), at(996+i)
		apply(end)
	}
	failed := answered
	failed.Standing, failed.Outcome, failed.At = Standing{Saga: "x", Revision: 2, Phase: contract.PhaseParked, Open: true}, contract.OutcomeFailed, at(990) // of a clock that went back
	apply(failed)
	apply(Change{Standing: Standing{Saga: "x", Revision: 3, Phase: contract.PhaseParked}, Event: contract.EventOperationTaken, Before: contract.PhaseParked, At: at(1019), Started: at(1015)})
	p.Refused(at(1019))
	p.Refused(at(1019))
	p.Refused(at(899)) // maps to the same entry of the series
	p.Part(0).Committed(time.Millisecond)
	p.Part(1).Committed(time.Millisecond)

	f := p.Figures(at(1020))
	if len(f.Series) != SeriesSeconds || f.Series[SeriesSeconds-1].At != at(1020).UTC() {
		t.Errorf("the series has %d seconds", len(f.Series))
	}
	if s := f.Series[SeriesSeconds-2]; s.Started != 1 || s.Completed != 1 || s.Transitions != 3 || s.Refused != 3 {
		t.Errorf("its last whole second is %+v", s)
	}
	near := func(got, want float64) bool { return math.Abs(got-want) < 1e-9 }
	if !near(f.Rates.Started, 1) || !near(f.Rates.Ended, 1) || !near(f.Rates.Transitions, 2.1) || !near(f.Rates.Refused, 0.3) {
		t.Errorf("rates are %+v", f.Rates)
	}
	if f.FailedShare != 1.0/21 || f.CompensatedShare != 1.0/21 || f.Commit.Count != 2 {
		t.Errorf("shares are %v failed, %v not completed; %+v commits", f.FailedShare, f.CompensatedShare, f.Commit)
	}
	d := f.Durations["shop"]
	if len(f.Durations) != 1 || d.Count != 21 || d.P50 < 3 || d.P50 > 5 {
		t.Errorf("durations are %+v", f.Durations)
	}
	parked := int64(0)
	for _, s := range f.Series {
		parked += s.Parked
	}
	if parked != 1 {
		t.Errorf("%d were parked", parked)
	}
	of := p.Definition(contract.DefinitionRef{Name: "shop", Version: 1})
	if step := of.Steps["pay"]; of.Duration.Count != 21 || step.Completed != 20 || step.Failed != 1 || step.Do.Count != 21 || step.Undo != nil {
		t.Errorf("the definition fares %+v, its step %+v", of, step)
	}
	if all := p.Participants(); len(all) != 1 || all[0].Name != "bank" || all[0].Answers != 21 || !all[0].Last.Equal(at(1019)) || all[0].Latency.Count != 21 {
		t.Errorf("participants: %+v", all)
	}
}
