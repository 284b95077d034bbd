package simulation

import (
	"flag"
	"fmt"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

var search = flag.Int("simulation.search", 0, "of TestKeptRuns: how many seeds to look through for a run that shows what the kept one does not show any more")

// keptRuns once showed a bug. A change to the draws from the rng changes what a seed produces, so
// each entry has a function that checks whether the run still shows the situation.
var keptRuns = []struct {
	name    string
	options Options
	shows   func(history []Record) bool
}{
	// The rejection of an undo parks its step. A redelivery of it parked the step again, with
	// another event, another announcement and a later time of parking.
	{"duplicate of a parking answer", Options{Seed: 58}, duplicateOfAParkingAnswer},

	// A step whose command was never sent was retried, and the new command was permanently refused
	// too. The second refusal concerns the same attempt, but it is not a duplicate.
	{"never sent twice", Options{Seed: 665745237324}, neverSentTwice},

	// Two owners whose clocks had been set back used the same claim number, because the bus had
	// lost the first claim. Participants took the two claims for one.
	{"counted on alike", Options{Seed: 310424407637}, countedOnAlike},
}

// TestKeptRuns checks that runs that once showed a bug keep every invariant, and that they still
// show the situation of the bug.
func TestKeptRuns(t *testing.T) {
	for _, kept := range keptRuns {
		t.Run(kept.name, func(t *testing.T) {
			r := Replay(t.Context(), kept.options)
			if len(r.Violations) > 0 {
				t.Errorf("%s\n%s", r.Options.Command(), joined(r.Violations))
			}
			if kept.shows(r.History) {
				return
			}
			for seed := kept.options.Seed; seed < kept.options.Seed+uint64(*search); seed++ {
				if kept.shows(Replay(t.Context(), Options{Seed: seed}).History) {
					t.Fatalf("seed %d does not show any more what it is kept for; seed %d does", kept.options.Seed, seed)
				}
			}
			t.Errorf("seed %d does not show any more what it is kept for; find another one:\n\tgo test -timeout 0 ./internal/simulation -run '%s' -simulation.search 1000000", kept.options.Seed, t.Name())
		})
	}
}

// command identifies the command of an answer.
type command struct {
	saga      contract.SagaID
	step      contract.StepName
	direction contract.Direction
	attempt   int
}

func answers(r *Record, ev *machine.Event) command {
	return command{r.Saga, ev.Step, ev.Direction, ev.Attempt}
}

// stepIndex returns the index of a step. Steps are named s1, s2 and so on.
func stepIndex(name contract.StepName) (i int) {
	if _, err := fmt.Sscanf(string(name), "s%d", &i); err != nil {
		panic(err)
	}
	return i - 1
}

// stepAfter returns a step's state after a commit.
func stepAfter(r *Record, name contract.StepName) *machine.StepState {
	return &r.Change.Instance.Steps[stepIndex(name)]
}

func duplicateOfAParkingAnswer(history []Record) bool {
	parked := map[command]int{} // number of acknowledgements since, by the command of the parking answer
	for i := range history {
		switch r := &history[i]; r.Kind {
		case Committed:
			for j := range r.Change.Events {
				if ev := &r.Change.Events[j]; ev.Type == contract.EventStepAnswered && ev.Outcome == contract.OutcomeRejected && ev.Direction == contract.DirectionUndo && stepAfter(r, ev.Step).Current().Parked() {
					parked[answers(r, ev)] = 0
				}
			}
		case Acknowledged:
			if n, ok := parked[answers(r, r.Answer)]; ok {
				parked[answers(r, r.Answer)] = n + 1
			}
			if parked[answers(r, r.Answer)] > 1 {
				return true
			}
		}
	}
	return false
}

func neverSentTwice(history []Record) bool {
	refused := map[command]bool{}
	for i := range history {
		r := &history[i]
		if r.Kind != Committed {
			continue
		}
		for j := range r.Change.Events {
			ev := &r.Change.Events[j]
			if ev.Type != contract.EventStepAnswered || ev.Outcome != contract.OutcomeNotSent {
				continue
			}
			if refused[answers(r, ev)] {
				return true
			}
			refused[answers(r, ev)] = true
		}
	}
	return false
}

// countedOnAlike reports whether the bus loses its data between the claims of two stores that
// continue from the same number instead of using the time.
func countedOnAlike(history []Record) bool {
	type claim struct {
		at     int
		number uint64
		volume *volume
	}
	const stride = 1 << 20
	var claims []claim
	forgot := 0
	for i := range history {
		switch r := &history[i]; {
		case r.Kind == Disturbed && r.Note == BusForgets.String():
			forgot = i
		case r.Kind == Claimed:
			if r.Under.number-uint64(epoch.UnixMicro()+r.At.Microseconds())+stride > 2*stride { // not from the time
				for _, c := range claims {
					if c.at < forgot && c.volume != r.Under.volume && max(c.number, r.Under.number)-min(c.number, r.Under.number) < stride {
						return true
					}
				}
			}
			claims = append(claims, claim{i, r.Under.number, r.Under.volume})
		}
	}
	return false
}
