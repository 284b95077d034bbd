package sagapb

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
)

// TestSideStatesHaveTheirNumbers checks that each state of a side has the same value in Go as in
// the enum.
func TestSideStatesHaveTheirNumbers(t *testing.T) {
	all := map[machine.SideState]amendsv1.SideState{
		machine.SideIdle: amendsv1.SideState_SIDE_STATE_UNSPECIFIED, machine.SideAwaitingAnswer: amendsv1.SideState_SIDE_STATE_AWAITING_ANSWER,
		machine.SideBackingOff: amendsv1.SideState_SIDE_STATE_BACKING_OFF, machine.SideRetryRequested: amendsv1.SideState_SIDE_STATE_RETRY_REQUESTED,
		machine.SideParkedUnasked: amendsv1.SideState_SIDE_STATE_PARKED_UNASKED, machine.SideParkedUnknown: amendsv1.SideState_SIDE_STATE_PARKED_UNKNOWN,
		machine.SideParkedRejected: amendsv1.SideState_SIDE_STATE_PARKED_REJECTED, machine.SideDone: amendsv1.SideState_SIDE_STATE_DONE,
		machine.SideUndone: amendsv1.SideState_SIDE_STATE_UNDONE, machine.SideRejected: amendsv1.SideState_SIDE_STATE_REJECTED,
		machine.SideUnknown: amendsv1.SideState_SIDE_STATE_UNKNOWN, machine.SideNotTaken: amendsv1.SideState_SIDE_STATE_NOT_TAKEN,
		machine.SideSkipped: amendsv1.SideState_SIDE_STATE_SKIPPED,
	}
	for state, number := range all {
		if int(state) != int(number) {
			t.Errorf("%s is stored as %d", number, state)
		}
	}
	if len(all) != len(amendsv1.SideState_name) {
		t.Errorf("%d states here, and %d in the message", len(all), len(amendsv1.SideState_name))
	}
}

// TestEveryWordHasANumber reads the constants of packages machine and contract. It fails if a value
// of a closed set has no enum number, because it could not be stored.
func TestEveryWordHasANumber(t *testing.T) {
	required := map[string]func(string) error{
		"Phase":     func(w string) error { _, err := protoconv.Phases.Required(contract.Phase(w)); return err },
		"Direction": func(w string) error { _, err := protoconv.Directions.Required(contract.Direction(w)); return err },
		"Outcome":   func(w string) error { _, err := protoconv.Outcomes.Required(contract.Outcome(w)); return err },
		"CauseKind": func(w string) error { _, err := causeKinds.Required(machine.CauseKind(w)); return err },
		"EventType": func(w string) error { _, err := eventTypes.Required(contract.EventType(w)); return err },
		"Operation": func(w string) error { _, err := operations.Required(contract.Operation(w)); return err },
	}
	seen := map[string]int{}
	for _, dir := range []string{"../../saga/machine", "../../contract"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for set, word := range constants(file) {
				number, ok := required[set.Name]
				if !ok {
					continue
				}
				seen[set.Name]++
				if err := number(word); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	for set := range required {
		if seen[set] == 0 {
			t.Errorf("no constant of type %s found: does it have another name now?", set)
		}
	}
}

// constants yields the type and the value of every typed string constant in a file.
func constants(file *ast.File) func(yield func(*ast.Ident, string) bool) {
	return func(yield func(*ast.Ident, string) bool) {
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				value := spec.(*ast.ValueSpec)
				set, ok := value.Type.(*ast.Ident)
				if !ok {
					continue
				}
				for _, v := range value.Values {
					if literal, ok := v.(*ast.BasicLit); ok && literal.Kind == token.STRING {
						word, err := strconv.Unquote(literal.Value)
						if err == nil && !yield(set, word) {
							return
						}
					}
				}
			}
		}
	}
}
