package api

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// A field of a filter that is given and empty, for example from an unset variable, would select
// more than intended: the decoded request does not distinguish it from a field that is absent. The
// coordinator therefore refuses an empty list in any filter, and an empty string in the filter of a
// request that changes what the filter selects.

// CheckGiven returns an error if a field of the filter is given and empty. data is the request as
// JSON.
func (*ListRequest) CheckGiven(data []byte) error { return inFilter(data, `[]`, `null`) }

// CheckGiven returns an error if a field of the filter is given and empty. data is the request as
// JSON.
func (*CountRequest) CheckGiven(data []byte) error { return inFilter(data, `[]`, `null`) }

// CheckGiven returns an error if a field of the filter is given and empty. data is the request as
// JSON.
func (*PollRequest) CheckGiven(data []byte) error { return inFilter(data, `[]`, `null`) }

// CheckGiven returns an error if a field of the filter is given and empty. data is the request as
// JSON.
func (*WatchRequest) CheckGiven(data []byte) error { return inFilter(data, `[]`, `null`) }

// CheckGiven returns an error if a field of the filter is given and empty. data is the request as
// JSON.
func (*OperatePageRequest) CheckGiven(data []byte) error {
	return inFilter(data, `[]`, `""`, `{}`, `null`)
}

// CheckGiven returns an error if a field of the filter is given and empty. data is the request as
// JSON.
func (*OperateAllRequest) CheckGiven(data []byte) error {
	return inFilter(data, `[]`, `""`, `{}`, `null`)
}

// CheckGiven returns an error if a condition is given and empty. data is the request as JSON.
func (*PurgeDeadLettersRequest) CheckGiven(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	delete(members, "by")
	return given(members, "", `""`, `null`)
}

func inFilter(data []byte, empty ...string) error {
	var request struct {
		Filter map[string]json.RawMessage `json:"filter"`
	}
	if err := json.Unmarshal(data, &request); err != nil {
		return err
	}
	return given(request.Filter, "filter.", empty...)
}

// given returns an *Error for the members that are empty.
func given(members map[string]json.RawMessage, path string, empty ...string) error {
	var reasons []string
	var wrong []Violation
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value, err := json.Marshal(members[name])
		if err == nil && slices.Contains(empty, string(value)) {
			wrong = append(wrong, Violation{Field: path + name, Problem: "is given and empty, which does not filter; give a value, or leave it out"})
		}
		if name == "definition" {
			wrong = append(wrong, unnamed(value, path+name)...)
		}
	}
	for _, one := range wrong {
		reasons = append(reasons, one.Field+": "+one.Problem)
	}
	if len(wrong) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalidArgument, Reason: strings.Join(reasons, "; "), Refusal: Refusal{Violations: wrong}}
}

// unnamed returns the violation of a definition that is given without a name: such a definition
// would not filter.
func unnamed(definition []byte, path string) []Violation {
	var ref *struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(definition, &ref); err != nil || ref == nil || ref.Name != "" {
		return nil
	}
	return []Violation{{Field: path + ".name", Problem: "is missing, so the definition does not filter; give its name, or leave the definition out"}}
}
