package saga

import (
	"errors"
	"fmt"
	"strings"
)

// ErrDefinition matches every *DefinitionError in errors.Is.
var ErrDefinition = errors.New("the definition cannot be used")

// maxProblems bounds the list of problems of one definition. If there are more, moreProblems
// ends the list.
const maxProblems = 100

var moreProblems = Problem{"…", "there are more problems", "fix these first"}

// DefinitionError lists all problems of a definition.
type DefinitionError struct {
	Definition string // its name, if known
	Problems   []Problem
}

// Problem describes one problem of a definition.
type Problem struct {
	Path string // position, such as steps[1].parallel[0] (charge-card).do.with
	What string // what is wrong
	Fix  string // how to fix it
}

// String returns the problem in one line: path: what; fix.
func (p Problem) String() string { return fmt.Sprintf("%s: %s; %s", p.Path, p.What, p.Fix) }

// Error returns the list of problems, one per line.
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
