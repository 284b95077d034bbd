package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
)

// Result returns the result of a step's do, decoded from JSON. It returns an error if the step has
// not completed, or if s has no steps, as after Start and List. If the result is not JSON, T must
// be []byte. An example:
//
//	room, err := client.Result[Room](s, "book-room")
func Result[T any](s *api.Saga, step contract.StepName) (result T, err error) {
	where := s.Step(step)
	switch {
	case where == nil && len(s.Steps) == 0:
		err = absent(s)
	case where == nil:
		err = fmt.Errorf("there is no such step; the steps are: %s", names(s.Steps))
	case where.Result == nil:
		err = fmt.Errorf("the step has no result; it is %s", where.Status)
	case where.Result.JSON != nil:
		err = json.Unmarshal(where.Result.JSON, &result)
	default:
		err = takeBytes(&result, where.Result)
	}
	if err != nil {
		return result, fmt.Errorf("result of step %s of saga %s: %w", step, s.ID, err)
	}
	return result, nil
}

// Input returns the input of a saga, decoded from JSON. If T is []byte or json.RawMessage, Input
// returns the JSON itself; for an input that is not JSON, T must be one of these types. Input
// returns an error if s has no input, as after Start, Run and List.
func Input[T any](s *api.Saga) (input T, err error) {
	switch p := s.Input; {
	case p == nil:
		err = absent(s)
	case p.JSON == nil:
		err = takeBytes(&input, p)
	case !takesBytes(&input, p.JSON):
		err = json.Unmarshal(p.JSON, &input)
	}
	if err != nil {
		return input, fmt.Errorf("input of saga %s: %w", s.ID, err)
	}
	return input, nil
}

// takeBytes stores data that is not JSON in v, which must point to bytes.
func takeBytes(v any, p *api.Payload) error {
	switch {
	case p.LeftOut:
		return fmt.Errorf("%s did not fit into the reply; read the data with History", plural.Of(p.SizeBytes, "byte", "bytes"))
	case !takesBytes(v, p.Binary):
		return fmt.Errorf("the data has the content type %s; decode it into a []byte", p.ContentType)
	}
	return nil
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

// absent returns the reason why s lacks data.
func absent(s *api.Saga) error {
	switch {
	case s.Problem != "":
		return errors.New(s.Problem)
	case s.Removed:
		return errors.New("the saga has ended, and retention has removed its data")
	default:
		return errors.New("this reply does not contain the data; use Get")
	}
}

func names(steps []api.Step) string {
	all := make([]string, len(steps))
	for i := range steps {
		all[i] = string(steps[i].Name)
	}
	return strings.Join(all, ", ")
}
