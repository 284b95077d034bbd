package saga

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/quote"
)

// Spec is a definition as plain data: what a JSON, YAML or protobuf file holds.
// New checks it and makes a Definition of it; Define writes one in Go.
type Spec struct {
	Name     string   `json:"name"`
	Version  int      `json:"version"`            // from 1
	Deadline Duration `json:"deadline,omitempty"` // 0: none. Before the point of no return it compensates, after it it alerts
	Input    *Schema  `json:"input,omitempty"`    // nil: anything, passed on as it is

	Timeout Duration    `json:"timeout,omitempty"` // of every action that has none of its own; 0: DefaultTimeout
	Retry   RetryPolicy `json:"retry,omitzero"`    // of every action, for the fields it leaves zero; zero: DefaultRetry

	Steps []Node `json:"steps"` // the outermost sequence
}

// Node is one place in a definition: exactly one of its fields is set.
type Node struct {
	Step     *Step  `json:"step,omitempty"`
	Parallel []Node `json:"parallel,omitempty"` // branches, at the same time
	Sequence []Node `json:"sequence,omitempty"` // one after the other; useful as a branch of a parallel
}

// Step is a do and perhaps an undo.
type Step struct {
	Name          contract.StepName `json:"name"`
	Kind          contract.Kind     `json:"kind"`
	Do            Action            `json:"do"`
	Undo          *Action           `json:"undo,omitempty"`
	NothingToUndo bool              `json:"nothing_to_undo,omitempty"` // a compensable step without effect, such as a check
}

// Action is one direction of a step: whom to ask, with what, how long and how often.
type Action struct {
	Participant string      `json:"participant"`
	Action      string      `json:"action"`
	With        string      `json:"with,omitempty"`    // CEL over input and result; empty: the saga's input, byte for byte. Not for an undo
	Timeout     Duration    `json:"timeout,omitempty"` // of one attempt; 0: DefaultTimeout
	Retry       RetryPolicy `json:"retry,omitzero"`
	Request     *Schema     `json:"request,omitempty"` // what the participant takes; nil: anything
	Result      *Schema     `json:"result,omitempty"`  // what it answers; nil: anything
}

// RetryPolicy says how often and how soon an action is attempted again. The zero
// value means the defaults of the step's kind and direction (see
// DefaultRetry).
type RetryPolicy struct {
	Attempts        int      `json:"attempts,omitempty"`         // in all, the first one included; 1: never again
	InitialInterval Duration `json:"initial_interval,omitempty"` // wait before the second attempt; doubles from there
	MaxInterval     Duration `json:"max_interval,omitempty"`     // longest wait
}

// Duration is a time.Duration that reads and writes itself as "1m30s".
type Duration time.Duration

// String is the duration without the units that are zero at its end: 10m, not
// 10m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON writes the duration as a string such as "1m30s".
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(d.String())
}

// UnmarshalJSON reads a string such as "1m30s".
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf(`a duration is a string such as "30s" or "1h15m", not %s`, quote.Short(string(data)))
	}
	parsed, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf(`duration %q: write it like "30s" or "1h15m"`, quote.Short(s))
	}
	*d = Duration(parsed)
	return nil
}
