package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/transport"
)

// Result returns the result of a step's do, decoded from JSON. It returns an error if the step has
// not completed, or if the status has no steps, as that of Start and List:
//
//	room, err := client.Result[Room](status, "book-room")
func Result[T any](s *transport.Status, step contract.StepName) (result T, err error) {
	where := s.Step(step)
	switch {
	case where == nil && len(s.Steps) == 0:
		err = absent(s)
	case where == nil:
		err = fmt.Errorf("there is no such step; there are %s", names(s.Steps))
	case where.LeftOut:
		err = tooLarge(where.ResultSize)
	case len(where.Result) == 0:
		err = fmt.Errorf("there is none; the step is %s", where.Status)
	default:
		err = json.Unmarshal(where.Result, &result)
	}
	if err != nil {
		return result, fmt.Errorf("result of step %s of saga %s: %w", step, s.ID, err)
	}
	return result, nil
}

// Input returns the input of a saga, decoded from JSON. A []byte or json.RawMessage gets the
// unchanged bytes, as in Start. Input returns an error unless the status comes from Get, because
// other statuses do not contain the input.
func Input[T any](s *transport.Status) (input T, err error) {
	switch p := s.Input; {
	case p == nil:
		err = absent(s)
	case p.LeftOut:
		err = tooLarge(p.Size)
	case p.JSON == nil && !takesBytes(&input, p.Binary):
		err = fmt.Errorf("it is %s, which only a []byte takes", p.ContentType)
	case p.JSON != nil && !takesBytes(&input, p.JSON):
		err = json.Unmarshal(p.JSON, &input)
	}
	if err != nil {
		return input, fmt.Errorf("input of saga %s: %w", s.ID, err)
	}
	return input, nil
}

// takesBytes stores data in v and returns true if v points to bytes.
func takesBytes(v any, data []byte) bool {
	switch v := v.(type) {
	case *[]byte:
		*v = data
	case *json.RawMessage:
		*v = data
	default:
		return false
	}
	return true
}

// absent returns the reason why a status lacks data.
func absent(s *transport.Status) error {
	switch {
	case s.Problem != "":
		return errors.New(s.Problem)
	case s.Removed:
		return errors.New("the saga ended so long ago that only its end is known")
	default:
		return errors.New("it is not in this status; ask with Get")
	}
}

func tooLarge(size int) error {
	return fmt.Errorf("%s did not fit into the reply; History has all of it", plural.Of(size, "byte", "bytes"))
}

func names(steps []transport.StepStatus) string {
	all := make([]string, len(steps))
	for i := range steps {
		all[i] = string(steps[i].Name)
	}
	return strings.Join(all, ", ")
}
