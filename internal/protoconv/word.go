package protoconv

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
)

// Words maps the string values of a closed set to the numbers of a protobuf enum. Number 0 means
// "not given" and stands for the empty string.
type Words[W ~string, E ~int32] struct {
	what  string
	words []W // by number; "" if there is none
}

// NewWords returns the mapping of a set. what names the set in errors ("phase").
func NewWords[W ~string, E ~int32](what string, numbers map[W]E) Words[W, E] {
	w := Words[W, E]{what: what}
	for word, number := range numbers {
		for int(number) >= len(w.words) {
			w.words = append(w.words, "")
		}
		w.words[number] = word
	}
	return w
}

// Optional returns the number of a value that may be empty.
func (w Words[W, E]) Optional(word W) (E, error) {
	if word == "" {
		return 0, nil
	}
	return w.Required(word)
}

// Required returns the number of a value that must not be empty.
func (w Words[W, E]) Required(word W) (E, error) {
	for number := range w.words { // there are few words, so this is faster than a map
		if w.words[number] == word && word != "" {
			return E(number), nil
		}
	}
	return 0, fmt.Errorf("%s %.64q is not one of %q", w.what, string(word), w.words[1:])
}

// OptionalWord returns the value of a number, or "" for 0.
func (w Words[W, E]) OptionalWord(number E) (W, error) {
	if number == 0 {
		return "", nil
	}
	return w.RequiredWord(number)
}

// RequiredWord returns the value of a number that must not be 0.
func (w Words[W, E]) RequiredWord(number E) (W, error) {
	switch {
	case number == 0:
		return "", fmt.Errorf("%s is missing: the record is damaged or incomplete", w.what)
	case number < 0 || int(number) >= len(w.words) || w.words[number] == "":
		return "", fmt.Errorf("%s %d is not known: the record is damaged or was written by a later release", w.what, number)
	}
	return w.words[number], nil
}

// The sets that several packages need.
var (
	Phases = NewWords("phase", map[contract.Phase]amendsv1.Phase{
		contract.PhaseRunning:      amendsv1.Phase_PHASE_RUNNING,
		contract.PhaseCompensating: amendsv1.Phase_PHASE_COMPENSATING,
		contract.PhaseCompleted:    amendsv1.Phase_PHASE_COMPLETED,
		contract.PhaseCompensated:  amendsv1.Phase_PHASE_COMPENSATED,
		contract.PhaseParked:       amendsv1.Phase_PHASE_PARKED,
	})
	Directions = NewWords("direction", map[contract.Direction]amendsv1.Direction{
		contract.DirectionDo:   amendsv1.Direction_DIRECTION_DO,
		contract.DirectionUndo: amendsv1.Direction_DIRECTION_UNDO,
	})
	Outcomes = NewWords("outcome", map[contract.Outcome]amendsv1.Outcome{
		contract.OutcomeCompleted: amendsv1.Outcome_OUTCOME_COMPLETED,
		contract.OutcomeRejected:  amendsv1.Outcome_OUTCOME_REJECTED,
		contract.OutcomeFailed:    amendsv1.Outcome_OUTCOME_FAILED,
		contract.OutcomeNotSent:   amendsv1.Outcome_OUTCOME_NOT_SENT,
	})
)

// Ref converts a definition reference. It returns nil for the zero reference.
func Ref(ref contract.DefinitionRef) *amendsv1.DefinitionRef {
	if ref == (contract.DefinitionRef{}) {
		return nil
	}
	return &amendsv1.DefinitionRef{Name: ref.Name, Version: int64(ref.Version)}
}

// FromRef converts a definition reference back. It returns the zero reference for nil.
func FromRef(ref *amendsv1.DefinitionRef) contract.DefinitionRef {
	return contract.DefinitionRef{Name: ref.GetName(), Version: int(ref.GetVersion())}
}
