package saga

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/quote"
)

// Spec is a definition as plain data, as in a JSON, YAML or protobuf file. New checks it and
// returns a Definition. Define creates a Definition in Go.
type Spec struct {
	Name     string   `json:"name"`
	Version  int      `json:"version"`            // from 1
	Deadline Duration `json:"deadline,omitempty"` // 0 means none. Once it passes, the saga compensates or, after the point of no return, an alert is raised
	Input    *Schema  `json:"input,omitempty"`    // nil accepts anything, which is passed on unchanged

	Timeout Duration    `json:"timeout,omitempty"` // for actions without their own timeout; 0 means DefaultTimeout
	Retry   RetryPolicy `json:"retry,omitzero"`    // for fields that an action's Retry leaves zero; 0 means DefaultRetry

	Steps []Node `json:"steps"` // the outermost sequence
}

// Node is a node of a definition. Exactly one of its fields is set.
type Node struct {
	Step     *Step  `json:"step,omitempty"`
	Parallel []Node `json:"parallel,omitempty"` // branches that run concurrently
	Sequence []Node `json:"sequence,omitempty"` // nodes that run one after the other; useful as a branch of a parallel
}

// Step describes a do and optionally an undo.
type Step struct {
	Name          contract.StepName `json:"name"`
	Kind          contract.Kind     `json:"kind"`
	Do            Action            `json:"do"`
	Undo          *Action           `json:"undo,omitempty"`
	NothingToUndo bool              `json:"nothingToUndo,omitempty"` // for a step without effect, such as a check
}

// Action describes one direction of a step: the participant, the data, the timeout and the retries.
type Action struct {
	Participant string      `json:"participant"`
	Action      string      `json:"action"`
	With        string      `json:"with,omitempty"`    // CEL expression; "" means the unchanged input; not for an undo
	Timeout     Duration    `json:"timeout,omitempty"` // of one attempt; 0 means DefaultTimeout
	Retry       RetryPolicy `json:"retry,omitzero"`
	Request     *Schema     `json:"request,omitempty"` // the request that the participant accepts; nil means anything
	Result      *Schema     `json:"result,omitempty"`  // the result that the participant returns; nil means anything
}

// RetryPolicy says how often and how soon an action is attempted. The zero value means the defaults
// of the step's kind and direction (see DefaultRetry).
type RetryPolicy struct {
	Attempts        int      `json:"attempts,omitempty"`        // including the first; 1 means no retry
	InitialInterval Duration `json:"initialInterval,omitempty"` // wait before the second attempt; then doubles
	MaxInterval     Duration `json:"maxInterval,omitempty"`     // maximum wait
}

// Duration is a time.Duration that is encoded as a string such as "1m30s".
type Duration time.Duration

// String returns the duration without trailing units that are zero: 10m, not 10m0s.
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
