package coordinator

import (
	"fmt"
	"testing"

	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Checks the verdict on an answer for every possible result (I9).
func TestVerdicts(t *testing.T) {
	for name, tt := range map[string]struct {
		result Result
		fate   fate
		class  string
	}{
		"applied":                    {Result{Instance: &machine.Instance{}, Applied: make([]Applied, 1)}, fateDone, ""},
		"taken in before":            {Result{Ignored: machine.IgnoredDuplicate}, fateDone, ""},
		"an attempt that is over":    {Result{Ignored: machine.IgnoredStale}, fateDone, ""},
		"a saga that has ended":      {Result{Ignored: machine.IgnoredEnded}, fateDone, ""},
		"nothing to do":              {Result{Ignored: machine.IgnoredNothing}, fateDone, ""},
		"no such saga":               {Result{Err: fmt.Errorf("saga x: %w", store.ErrNotFound)}, fateDeadLetter, DeadLetterUnknown},
		"a damaged record":           {Result{Err: fmt.Errorf("load: %w", &store.CorruptError{What: "record"})}, fateDeadLetter, DeadLetterDamaged},
		"no definition":              {Result{Err: fmt.Errorf("shop/1: %w", ErrUnknownDefinition)}, fateDeadLetter, DeadLetterDamaged},
		"what the store cannot keep": {Result{Err: fmt.Errorf("commit: %w", store.ErrInvalid)}, fateDeadLetter, DeadLetterDamaged},
		"conflict after conflict":    {Result{Err: fmt.Errorf("saga x: %w repeatedly", store.ErrConflict)}, fateAgain, ""},
		"somebody else's step":       {Result{Ignored: machine.IgnoredSender}, fateDeadLetter, DeadLetterSender},
		"a contradiction":            {Result{Ignored: machine.IgnoredContradiction}, fateDeadLetter, DeadLetterContradiction},
		"no such step":               {Result{Ignored: machine.IgnoredStep}, fateDeadLetter, DeadLetterStep},
		"a step not asked for yet":   {Result{Ignored: machine.IgnoredEarly}, fateDeadLetter, DeadLetterStep},
		"the other direction":        {Result{Ignored: machine.IgnoredDirection}, fateDeadLetter, DeadLetterStep},
	} {
		v := verdictOf(&tt.result)
		if v.fate != tt.fate || v.class != tt.class || (v.reason == "") != (v.fate == fateDone) {
			t.Errorf("%s: %+v, want %s %s", name, v, tt.fate, tt.class)
		}
	}
}
