package strictjson

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/amends-dev/amends/api"
)

// checkGiven returns an error if a condition of a request is given and empty. data is the request as
// valid JSON.
//
// A condition that is given and empty, for example from an unset variable, would select more than
// intended: the decoded request does not distinguish it from a condition that is absent. An empty
// list is therefore refused in any filter, and an empty string in the filter of a request that
// changes what the filter selects.
func checkGiven(data []byte, request any) error {
	switch request.(type) {
	case *api.ListRequest, *api.CountRequest, *api.PollRequest, *api.WatchRequest:
		return inFilter(data, `[]`, `null`)
	case *api.OperatePageRequest, *api.OperateAllRequest:
		return inFilter(data, `[]`, `""`, `{}`, `null`)
	case *api.PurgeDeadLettersRequest:
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			return err
		}
		delete(members, "by")
		return given(members, "", `""`, `null`)
	}
	return nil
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

// given returns an *api.Error for the members that are empty.
func given(members map[string]json.RawMessage, path string, empty ...string) error {
	var reasons []string
	var wrong []api.Violation
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value, err := json.Marshal(members[name])
		if err == nil && slices.Contains(empty, string(value)) {
			wrong = append(wrong, api.Violation{Field: path + name, Problem: "is given and empty, which does not filter; give a value, or leave it out"})
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
	return refused(strings.Join(reasons, "; "), wrong...)
}

// unnamed returns the violation of a definition that is given without a name: such a definition
// would not filter.
func unnamed(definition []byte, path string) []api.Violation {
	var ref *struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(definition, &ref); err != nil || ref == nil || ref.Name != "" {
		return nil
	}
	return []api.Violation{{Field: path + ".name", Problem: "is missing, so the definition does not filter; give its name, or leave the definition out"}}
}
