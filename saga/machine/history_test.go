package machine_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

var update = flag.Bool("update", false, "rewrite the golden histories")

var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// TestHistories runs the golden histories in testdata/histories: a purpose, a definition and
// commands, each followed by the output of Decide. -update rewrites the outputs; review the changes before you
// commit them.
func TestHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden histories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(golden, []byte("# ")) {
				t.Error("the history does not begin with a line that says what it shows; add one that begins with #")
			}
			got := play(t, string(golden))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(golden), got); diff != "" {
				t.Errorf("history differs (-golden +now); rewrite with go test ./saga/machine -run TestHistories -update, and read it:\n%s", diff)
			}
		})
	}
}

// play reads "commands, ----, outputs" blocks separated by empty lines, and returns them with the
// current outputs.
func play(t *testing.T, golden string) string {
	t.Helper()
	var out strings.Builder
	p := &player{t: t, at: epoch}
	for block := range strings.SplitSeq(strings.TrimRight(golden, "\n"), "\n\n") {
		head, _, _ := strings.Cut(block, "\n----")
		out.WriteString(head + "\n----\n")
		var commands []string
		for line := range strings.Lines(head) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				commands = append(commands, line)
			}
		}
		if strings.HasPrefix(commands[0], "{") {
			p.define(strings.Join(commands, "\n"), &out)
		} else {
			for _, command := range commands {
				p.command(command, &out)
			}
		}
		out.WriteString("\n")
	}
	p.replay()
	return strings.TrimRight(out.String(), "\n") + "\n"
}

type player struct {
	t       *testing.T
	def     *saga.Definition
	in      machine.Instance
	at      time.Time
	history []machine.Event
}

func (p *player) define(text string, out *strings.Builder) {
	p.t.Helper()
	def, err := saga.ParseJSON([]byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	p.def = def
	fmt.Fprintf(out, "%s\n", def.Ref())
}

// command executes a line "[+5s] operation arguments…".
func (p *player) command(line string, out *strings.Builder) {
	p.t.Helper()
	words := strings.Fields(line)
	if strings.HasPrefix(words[0], "+") {
		d, err := time.ParseDuration(words[0][1:])
		if err != nil {
			p.t.Fatal(err)
		}
		p.at = p.at.Add(d)
		words = words[1:]
	}
	if words[0] == "wake" {
		p.wake(line, words[1:], out)
		return
	}
	p.decide(line, p.event(words), out)
}

// wake fires due timers: "wake [step reason…]", where reason says why the step's command was not
// sent.
func (p *player) wake(line string, words []string, out *strings.Builder) {
	p.t.Helper()
	ev, due := machine.DueTimer(p.def.Plan(), &p.in, p.at)
	if !due {
		p.decide(line, machine.Event{Type: contract.EventTimerFired, At: p.at, Timer: contract.TimerDeadline}, out)
	}
	for ; due; ev, due = machine.DueTimer(p.def.Plan(), &p.in, p.at) {
		if ev.Timer == contract.TimerTimeout && len(words) > 0 && ev.Step == contract.StepName(words[0]) {
			ev.Reason = strings.Join(words[1:], " ")
		}
		fmt.Fprintf(out, "%s %s\n", ev.Timer, ev.Step)
		p.decide(line, ev, out)
	}
}

func (p *player) decide(line string, ev machine.Event, out *strings.Builder) {
	p.t.Helper()
	before := p.in
	frozen := mustJSON(p.t, before)
	next, eff, err := machine.Decide(p.def.Plan(), p.in, ev)
	if !bytes.Equal(frozen, mustJSON(p.t, before)) {
		p.t.Errorf("%s: Decide changed its argument", line)
	}
	again, effAgain, _ := machine.Decide(p.def.Plan(), before, ev)
	if diff := cmp.Diff(next, again) + cmp.Diff(eff, effAgain); diff != "" {
		p.t.Errorf("%s: Decide is not pure: %s", line, diff)
	}
	storable(p.t, &next)
	switch {
	case err != nil:
		fmt.Fprintf(out, "error: %v\n", err)
	case eff.Ignored != "":
		fmt.Fprintf(out, "ignored: %s\n", eff.Ignored)
	default:
		p.in = next
		p.history = append(p.history, ev)
		p.print(out, &eff)
	}
}

// storable fails the test unless every side can be decoded from its fields, as a store does.
func storable(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, in *machine.Instance) {
	t.Helper()
	for i := range in.Steps {
		for _, direction := range []contract.Direction{contract.DirectionDo, contract.DirectionUndo} {
			data := in.Steps[i].Side(direction).Data()
			if side, err := machine.NewSide(direction, data); err != nil || side.Data() != data {
				t.Fatalf("the %s of step %d is %+v, and decoded %+v, %v", direction, i, data, side.Data(), err)
			}
		}
	}
}

func (p *player) event(words []string) machine.Event {
	p.t.Helper()
	ev := machine.Event{At: p.at}
	rest := func(n int) string { return strings.Join(words[min(n, len(words)):], " ") }
	switch words[0] {
	case "start":
		ev.Type, ev.ID, ev.Payload = contract.EventStarted, contract.SagaID(words[1]), []byte(rest(2))
	case "completed", "rejected", "failed", "broken", "not_sent", "not_sent_now":
		ev.Type, ev.Participant, ev.Step, ev.Direction = contract.EventStepAnswered, words[1], contract.StepName(words[2]), contract.Direction(words[3])
		attempt, err := strconv.Atoi(words[4])
		if err != nil {
			p.t.Fatal(err)
		}
		ev.Attempt, ev.Outcome = attempt, contract.Outcome(words[0])
		switch words[0] {
		case "completed":
			ev.Payload = []byte(rest(5))
		case "not_sent_now": // an earlier attempt may have arrived
			ev.Outcome, ev.Final, ev.Reason = contract.OutcomeNotSent, true, rest(5)
		case "broken":
			ev.Outcome, ev.Final, ev.Reason = contract.OutcomeFailed, true, rest(5)
		default:
			ev.Reason = rest(5)
		}
	default: // operation step|- reason
		ev.Type, ev.Operation, ev.By, ev.Reason = contract.EventOperationTaken, contract.Operation(words[0]), "kim", rest(2)
		if len(words) > 1 && words[1] != "-" {
			ev.Step = contract.StepName(words[1])
		}
		if operation, outcome, ok := strings.Cut(words[0], "="); ok {
			ev.Operation, ev.Outcome = contract.Operation(operation), contract.Outcome(outcome)
			if strings.HasPrefix(rest(2), "{") {
				ev.Payload, ev.Reason = []byte(rest(2)), "seen in the bank's portal"
			}
		}
		if !slices.Contains(operations, ev.Operation) {
			p.t.Fatalf("%q is not a command of a history; use start, wake, completed, rejected, failed, broken, not_sent, not_sent_now or an operation", words[0])
		}
	}
	return ev
}

// operations lists the operations that are commands of a history.
var operations = []contract.Operation{
	contract.OperationCancel, contract.OperationRetry, contract.OperationResolve, contract.OperationSkip,
	contract.OperationCompensate, contract.OperationAbandon, contract.OperationPause, contract.OperationResume,
	"frobnicate", // an operation that does not exist
}

func (p *player) print(out *strings.Builder, eff *machine.Effects) {
	ended := ""
	if !p.in.Open() {
		ended = ", ended"
	}
	fmt.Fprintf(out, "%d %s%s\n", p.in.Revision, p.in.Phase, ended)
	for i := range p.in.Steps {
		s := p.in.Steps[i].Current()
		fmt.Fprintf(out, "  %s %s", p.def.Step(i).Name, p.in.Steps[i].Status())
		if s.Attempt() > 0 {
			fmt.Fprintf(out, " #%d", s.Attempt())
		}
		switch {
		case s.Waiting():
			fmt.Fprintf(out, ", again in %s", s.Due().Sub(p.at))
		case !s.Due().IsZero():
			fmt.Fprintf(out, ", times out in %s", s.Due().Sub(p.at))
		}
		if s.Parked() {
			fmt.Fprintf(out, ", parked")
		}
		if s.Reason() != "" {
			fmt.Fprintf(out, ": %s", s.Reason())
		}
		out.WriteString("\n")
	}
	if p.in.Paused != nil {
		fmt.Fprintf(out, "  paused %s ago by %s: %s\n", p.at.Sub(p.in.Paused.At), p.in.Paused.By, p.in.Paused.Reason)
	}
	if p.in.Cause != nil {
		fmt.Fprintf(out, "  cause: %s\n", p.in.Cause)
	}
	if p.in.PendingCause != nil {
		fmt.Fprintf(out, "  pending cause: %s\n", p.in.PendingCause)
	}
	for _, ref := range eff.Discarded {
		fmt.Fprintf(out, "  discard %s %s of revision %d\n", ref.Step, ref.Direction, ref.Revision)
	}
	for _, c := range eff.Commands {
		fmt.Fprintf(out, "  → %s.%s %s %s #%d %s\n", c.Participant, c.Action, c.Step, c.Direction, c.Attempt, c.Payload)
	}
	for _, a := range eff.Announcements {
		fmt.Fprintf(out, "  announce %s", a.Phase)
		if a.Overdue {
			fmt.Fprintf(out, " overdue")
		}
		if a.Reason != "" {
			fmt.Fprintf(out, ": %s", a.Reason)
		}
		out.WriteString("\n")
	}
	if p.in.Open() {
		fmt.Fprintf(out, "  legal: %v\n", machine.Legal(p.def.Plan(), &p.in))
	}
}

// replay checks I8 for the whole history.
func (p *player) replay() {
	p.t.Helper()
	folded, err := machine.Fold(p.def.Plan(), p.history)
	if err != nil {
		p.t.Fatalf("the history does not fold: %v", err)
	}
	if diff := cmp.Diff(p.in, folded, cmpopts.EquateEmpty()); diff != "" {
		p.t.Errorf("folding the history gives another state (-stored +folded):\n%s", diff)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
