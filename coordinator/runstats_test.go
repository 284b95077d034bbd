package coordinator

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// TestQuantiles: whatever was counted, a quantile is within a bucket of the exact
// one, in one histogram as in the sum of two.
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

// TestFiguresAreBounded: more definitions, steps and participants than are kept
// cost nothing but their own figures (I10).
func TestFiguresAreBounded(t *testing.T) {
	f := newRunStats(time.Unix(1000, 0))
	for i := range 2 * MaxStepFigures {
		f.Transition(Transition{
			Definition: contract.DefinitionRef{Name: fmt.Sprint("d", i%(2*MaxDefinitionFigures)), Version: 1}, Event: contract.EventStepAnswered, Outcome: contract.OutcomeCompleted,
			Step: contract.StepName(fmt.Sprint("s", i)), Participant: fmt.Sprint("p", i), At: time.Unix(1000, 0), Waited: time.Second,
		})
	}
	if len(f.definitions) != MaxDefinitionFigures || f.steps != MaxStepFigures || len(f.participants) != MaxParticipantFigures {
		t.Errorf("kept are %d definitions, %d steps, %d participants", len(f.definitions), f.steps, len(f.participants))
	}
	if f.answers != 2*MaxStepFigures || f.seconds[1000%seriesSeconds].transitions != 2*MaxStepFigures {
		t.Errorf("counted are %d answers", f.answers)
	}
}

// TestOverviewCounts what happened in which second, also when the clock goes back.
func TestOverviewCounts(t *testing.T) {
	f := newRunStats(time.Unix(1000, 0))
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	ref := contract.DefinitionRef{Name: "shop", Version: 1}
	for i := range int64(20) {
		f.Transition(Transition{Definition: ref, Event: contract.EventStarted, After: contract.Running, At: at(1000 + i), Started: at(1000 + i)})
		f.Transition(Transition{Definition: ref, Event: contract.EventStepAnswered, Outcome: contract.OutcomeCompleted, Before: contract.Running, After: contract.Completed, Ended: true, At: at(1000 + i), Started: at(996 + i)})
	}
	f.Transition(Transition{Definition: ref, Event: contract.EventStepAnswered, Outcome: contract.OutcomeFailed, Before: contract.Running, After: contract.Parked, At: at(990)}) // of a clock that went back
	f.Transition(Transition{Definition: ref, Event: contract.EventOperationTaken, Before: contract.Parked, After: contract.Parked, Ended: true, At: at(1019), Started: at(1015)})
	o := transport.Overview{At: at(1020)}
	f.overview(&o)
	if len(o.Series) != seriesSeconds || o.Series[seriesSeconds-1].At != at(1020).UTC() {
		t.Errorf("the series has %d seconds", len(o.Series))
	}
	if s := o.Series[seriesSeconds-2]; s.Started != 1 || s.Completed != 1 || s.Transitions != 3 {
		t.Errorf("its last whole second is %+v", s)
	}
	if o.StartedPerSecond != 1 || o.EndedPerSecond != 1 || o.TransitionsPerSec != 2.1 {
		t.Errorf("rates are %v started, %v ended, %v transitions", o.StartedPerSecond, o.EndedPerSecond, o.TransitionsPerSec)
	}
	if o.FailedShare != 1.0/21 || o.CompensatedShare != 1.0/21 {
		t.Errorf("shares are %v failed, %v not completed", o.FailedShare, o.CompensatedShare)
	}
	if len(o.Durations) != 1 || o.Durations[0].Duration.Count != 21 || o.Durations[0].Duration.P50 < 3 || o.Durations[0].Duration.P50 > 5 {
		t.Errorf("durations are %+v", o.Durations)
	}
	parked := int64(0)
	for _, s := range o.Series {
		parked += s.Parked
	}
	if parked != 1 {
		t.Errorf("%d were parked", parked)
	}
}
