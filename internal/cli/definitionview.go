package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/terminal"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
	"github.com/amends-dev/amends/saga/diagram"
)

// lookup returns the definition in the file with this name if the file exists. Otherwise it returns
// the registered definition with this name.
func (f *serverFlags) lookup(env *environment, what string) (*saga.Definition, error) {
	if _, err := os.Stat(what); err == nil {
		defs, err := definitionfile.Load(what)
		if err != nil {
			return nil, err
		}
		if len(defs) != 1 {
			return nil, &exitError{code: ExitUsage, err: fmt.Errorf("%s holds %s; name a file with exactly one", what, plural.Of(len(defs), "definition", "definitions"))}
		}
		return defs[0], nil
	}
	ref, err := parseRef(what)
	if err != nil {
		return nil, &exitError{code: ExitUsage, err: fmt.Errorf("%s is neither a file nor the name of a definition: %w", what, err)}
	}
	var def *saga.Definition
	err = f.call(env, f.Timeout, func(ctx context.Context, api service) error {
		r, err := api.GetDefinition(ctx, connect.NewRequest(&apiv1.GetDefinitionRequest{Definition: ref}))
		if err != nil {
			return err
		}
		def, err = saga.ParseJSON([]byte(r.Msg.GetDefinition().GetCanonical()))
		return err
	})
	return def, err
}

type defShowCmd struct {
	callFlags
	What string `arg:"" name:"definition" help:"A name, name/version or a file."`
}

// Run shows a definition.
func (c *defShowCmd) Run(env *environment) error {
	def, err := c.lookup(env, c.What)
	if err != nil {
		return err
	}
	return c.print(env.stdout, def, func(w *terminal.Stream) {
		w.Printf("%s  %s  %s\n\n", def.Ref(), plural.Of(def.Len(), "step", "steps"), def.Fingerprint())
		rows := [][]string{{"STEP", "KIND", "DO", "TIMEOUT", "ATTEMPTS", "UNDO"}}
		branches := branchesOf(def.Spec().Steps)
		for i := range def.Len() {
			step := def.Step(i)
			do, _ := def.Action(i, contract.DirectionDo)
			back := ""
			if undo, ok := def.Action(i, contract.DirectionUndo); ok {
				back = actionText(&undo)
			}
			rows = append(rows, []string{branches[i] + string(step.Name), string(step.Kind), actionText(&do), do.Timeout.String(), fmt.Sprint(do.Retry.Attempts), back})
		}
		w.Table(rows)
	})
}

func actionText(a *saga.Action) string { return a.Participant + "." + a.Action }

// branchesOf returns the tree lines in front of each step, in the order of the definition. All
// branches of a parallel are attached to the same line.
func branchesOf(nodes []saga.Node) []string {
	var lines []string
	var walk func(nodes []saga.Node, lead string)
	walk = func(nodes []saga.Node, lead string) {
		for i := range nodes {
			switch n := &nodes[i]; {
			case n.Step != nil:
				lines = append(lines, lead)
				lead = strings.NewReplacer("├─ ", "│  ", "└─ ", "   ").Replace(lead)
			case n.Parallel != nil:
				for k := range n.Parallel {
					mark := "├─ "
					if k == len(n.Parallel)-1 {
						mark = "└─ "
					}
					walk(n.Parallel[k:k+1], lead+mark)
				}
			default:
				walk(n.Sequence, lead)
			}
		}
	}
	walk(nodes, "")
	return lines
}

type graphCmd struct {
	callFlags
	What   string `arg:"" name:"definition" help:"A name, name/version or a file."`
	Format string `enum:"mermaid,svg" default:"mermaid" help:"Format: ${enum}."`
}

// Run draws a definition.
func (c *graphCmd) Run(env *environment) error {
	def, err := c.lookup(env, c.What)
	if err != nil {
		return err
	}
	picture := []byte(diagram.Mermaid(def))
	if c.Format == "svg" {
		picture = diagram.SVG(def)
	}
	_, err = env.stdout.Lines().Write(append(bytes.TrimRight(picture, "\n"), '\n'))
	return err
}

type diffCmd struct {
	callFlags
	From string `arg:"" help:"The old definition: a name, name/version or a file."`
	To   string `arg:"" help:"The new definition: a name, name/version or a file."`
}

// Help explains the exit code.
func (diffCmd) Help() string {
	return `Compares what sagas would do, with defaults filled in; ignores the versions. Exit code 1:
they differ.

Examples:
  coordinator definition diff checkout/1 checkout/2
  coordinator definition diff checkout checkout.yaml`
}

// Run prints the differences.
func (c *diffCmd) Run(env *environment) error {
	from, err := c.lookup(env, c.From)
	if err != nil {
		return err
	}
	to, err := c.lookup(env, c.To)
	if err != nil {
		return err
	}
	differences := saga.Compare(from, to)
	told := make([]difference, len(differences))
	for i, d := range differences {
		told[i] = difference(d)
	}
	if err := c.print(env.stdout, told, func(w *terminal.Stream) {
		if len(differences) == 0 {
			w.Printf("%s and %s do the same\n", from.Ref(), to.Ref())
			return
		}
		rows := [][]string{{"", "WHERE", from.Ref().String(), to.Ref().String()}}
		for _, d := range differences {
			rows = append(rows, []string{changeSigns[d.Change], d.Path, d.From, d.To})
		}
		w.Table(rows)
	}); err != nil {
		return err
	}
	if len(differences) > 0 {
		return &exitError{code: ExitFailed}
	}
	return nil
}

// difference is the printed form of a saga.Difference, with the API's field names.
type difference struct {
	Path   string      `json:"path"`
	Change saga.Change `json:"change"`
	From   string      `json:"from"`
	To     string      `json:"to"`
}

var changeSigns = map[saga.Change]string{saga.ChangeAdded: "+", saga.ChangeRemoved: "-", saga.ChangeChanged: "~", saga.ChangeMoved: ">"}
