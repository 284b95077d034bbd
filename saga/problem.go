package saga

import (
	"errors"
	"fmt"
	"strings"
)

// ErrDefinition is what every *DefinitionError is, for errors.Is.
var ErrDefinition = errors.New("the definition cannot be used")

// maxProblems bounds the list of problems of one definition; from there on it
// says that there are more.
const maxProblems = 100

var moreProblems = Problem{"…", "there are more problems", "fix these first"}

// DefinitionError lists everything that is wrong with a definition.
type DefinitionError struct {
	Definition string // its name, as far as it has one
	Problems   []Problem
}

// Problem is one thing that is wrong with a definition.
type Problem struct {
	Path string // where: steps[1].parallel[0] (charge-card).do.with
	What string // what is wrong
	Fix  string // what would be right
}

// String is the problem in one line: path: what; fix.
func (p Problem) String() string { return fmt.Sprintf("%s: %s; %s", p.Path, p.What, p.Fix) }

// Error is the list of problems, one line each.
func (e *DefinitionError) Error() string {
	var b strings.Builder
	noun := "problems"
	if len(e.Problems) == 1 {
		noun = "problem"
	}
	fmt.Fprintf(&b, "definition %q has %d %s:", e.Definition, len(e.Problems), noun)
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

// Is reports whether target is ErrDefinition.
func (e *DefinitionError) Is(target error) bool { return target == ErrDefinition }
