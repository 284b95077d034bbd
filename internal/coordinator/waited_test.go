package coordinator

import (
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// The duration of an answer is known whether the step or the definition sets the timeout, or
// neither.
func TestWaited(t *testing.T) {
	reserve := contract.NewCommand[int, int]("stock", "reserve")
	for name, def := range map[string]*saga.Definition{
		"the step":       saga.MustDefine[int]("a", saga.Pivot("reserve", saga.Do(reserve, saga.Timeout(time.Minute)))),
		"the definition": saga.MustDefine[int]("a", saga.Timeout(time.Minute), saga.Pivot("reserve", saga.Do(reserve))),
		"the default":    saga.MustDefine[int]("a", saga.Pivot("reserve", saga.Do(reserve))),
	} {
		start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		in, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, ID: "s1", At: start, Payload: []byte("1")})
		if err != nil {
			t.Fatal(err)
		}
		answer := machine.Event{Type: contract.EventStepAnswered, Step: "reserve", Direction: contract.DirectionDo, Attempt: 1, At: start.Add(3 * time.Second)}
		if got := waited(def, &in, &answer); got != 3*time.Second {
			t.Errorf("%s says the timeout: waited %s, want 3s", name, got)
		}
		answer.Attempt = 2
		if got := waited(def, &in, &answer); got != 0 {
			t.Errorf("%s: an answer to another attempt waited %s", name, got)
		}
	}
}
