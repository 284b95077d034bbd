package protoconv

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
)

// Words maps the words of one closed set to the numbers of an enumeration. Number
// 0 is "not given" and stands for the empty word.
type Words[W ~string, E ~int32] struct {
	what  string
	words []W // by number; "" where there is none
}

// NewWords makes the map of a set; what names it in errors ("phase").
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

// Optional is the number of a word that may be empty.
func (w Words[W, E]) Optional(word W) (E, error) {
	if word == "" {
		return 0, nil
	}
	return w.Required(word)
}

// Required is the number of a word that must be given.
func (w Words[W, E]) Required(word W) (E, error) {
	for number := range w.words { // a few: faster than a map
		if w.words[number] == word && word != "" {
			return E(number), nil
		}
	}
	return 0, fmt.Errorf("%s %.64q is not one of %q", w.what, string(word), w.words[1:])
}

// OptionalWord is the word of a number; empty for 0.
func (w Words[W, E]) OptionalWord(number E) (W, error) {
	if number == 0 {
		return "", nil
	}
	return w.RequiredWord(number)
}

// RequiredWord is the word of a number that must not be 0.
func (w Words[W, E]) RequiredWord(number E) (W, error) {
	switch {
	case number == 0:
		return "", fmt.Errorf("%s is missing: the record is damaged or incomplete", w.what)
	case number < 0 || int(number) >= len(w.words) || w.words[number] == "":
		return "", fmt.Errorf("%s %d is not known: the record is damaged or was written by a later release", w.what, number)
	}
	return w.words[number], nil
}

// The sets that more than one package needs.
var (
	Phases = NewWords("phase", map[contract.Phase]amendsv1.Phase{
		contract.Running:      amendsv1.Phase_PHASE_RUNNING,
		contract.Compensating: amendsv1.Phase_PHASE_COMPENSATING,
		contract.Completed:    amendsv1.Phase_PHASE_COMPLETED,
		contract.Compensated:  amendsv1.Phase_PHASE_COMPENSATED,
		contract.Parked:       amendsv1.Phase_PHASE_PARKED,
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

// Ref converts the name of a definition. A ref without name and version is nil.
func Ref(ref contract.DefinitionRef) *amendsv1.DefinitionRef {
	if ref == (contract.DefinitionRef{}) {
		return nil
	}
	return &amendsv1.DefinitionRef{Name: ref.Name, Version: int64(ref.Version)}
}

// FromRef converts the name of a definition back; nil is the zero ref.
func FromRef(ref *amendsv1.DefinitionRef) contract.DefinitionRef {
	return contract.DefinitionRef{Name: ref.GetName(), Version: int(ref.GetVersion())}
}
