package coordinator

import (
	"errors"
	"fmt"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

func TestBlocks(t *testing.T) {
	rot, gone := &store.CorruptError{What: "record"}, fmt.Errorf("x/1: %w", ErrUnknownDefinition)
	for _, test := range []struct {
		err   error
		event contract.EventType
		want  bool
	}{
		{nil, contract.EventTimerFired, false},
		{errors.New("anything"), contract.EventTimerFired, false},
		{rot, contract.EventTimerFired, true},
		{rot, contract.EventStarted, true}, // the saga with this id is unreadable
		{gone, contract.EventStepAnswered, true},
		{gone, contract.EventStarted, false}, // the caller's mistake; there is no saga
	} {
		if got := blocks(test.err, test.event); got != test.want {
			t.Errorf("%v of %s: %t", test.err, test.event, got)
		}
	}
}
