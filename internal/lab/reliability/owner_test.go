//go:build linux && lab

package reliability

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/server"
)

// ownerRounds is the number of take-overs of the prefix.
const ownerRounds = 4

// TestOwners runs two stores on one prefix under load. The owner is killed repeatedly and continues
// at once. A copy of its directory takes over while the owner is paused or has crashed. A different
// store is refused. A replaced owner ends and lists the sagas it accepted, and nothing that it
// sends has an effect (I2, I3, I5, I11).
func TestOwners(t *testing.T) {
	s := newSystem(t, "")
	l := startLoad(t, s, 1)
	o := &rivals{s: s, t: t, listed: map[contract.SagaID]bool{}}
	for round := range ownerRounds {
		for range 2 {
			o.moves(l)
			if err := s.coordinator().kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.again("coordinator"); err != nil {
				t.Fatal(err)
			}
		}
		o.moves(l)
		o.waitedForNobody()
		o.refuses("data-of-another", "a different store")
		o.takeOver(round)
	}
	o.moves(l)
	l.finish()
	found := s.comeToRest(t)
	for _, name := range slices.Backward(s.names()) {
		if err := s.processes[name].terminate(); err != nil {
			found = append(found, world.Stuck("", err.Error()))
		}
	}
	o.audit(l, found)
}

// rivals holds the coordinators that have owned the prefix.
type rivals struct {
	s      *system
	t      *testing.T
	copies int
	listed map[contract.SagaID]bool // the sagas that replaced owners have listed
}

// moves waits until a saga started after the call has ended.
func (o *rivals) moves(l *load) {
	o.t.Helper()
	if err := l.AwaitMoving(time.Now()); err != nil {
		o.t.Fatal(err)
	}
}

func (o *rivals) dir() string {
	for _, v := range o.s.coordinator().env {
		if dir, ok := strings.CutPrefix(v, dirEnv+"="); ok {
			return dir
		}
	}
	return ""
}

// waitedForNobody checks that a process restarted in its directory does not wait for its crashed
// predecessor.
func (o *rivals) waitedForNobody() {
	o.t.Helper()
	text, err := os.ReadFile(o.s.coordinator().log)
	if err != nil || bytes.Contains(text, []byte("this store does not own the prefix yet")) {
		o.t.Errorf("a killed coordinator that is started again waits for its claim: %v\n%s", err, text)
	}
}

// refuses checks that a coordinator in a different directory does not start, and that it logs what
// an operator has to know.
func (o *rivals) refuses(dir, why string) {
	o.t.Helper()
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(o.s.dir, dir)
	}
	cmd := exec.CommandContext(o.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=serve", dirEnv+"="+dir, urlEnv+"="+o.s.server.Load().(string))
	text, err := cmd.CombinedOutput()
	host, _ := os.Hostname()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		o.t.Errorf("a coordinator with another directory ends with code %d (%v), want 7:\n%s", code, err, text)
	}
	for _, word := range []string{"the prefix saga belongs to the store", "on " + host, "since 20", why, "--take-over", "--prefix"} {
		if !bytes.Contains(text, []byte(word)) {
			o.t.Errorf("it does not say %q:\n%s", word, text)
		}
	}
}

// takeOver lets a copy of the owner's directory take over the prefix. In every other round the
// owner is paused meanwhile. Otherwise it is killed first and restarted later.
func (o *rivals) takeOver(round int) {
	o.t.Helper()
	old, oldDir, paused := o.s.coordinator(), o.dir(), round%2 == 0
	do := func(err error) {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
	}
	last := old.leave()
	if paused {
		do(last.Freeze())
	} else {
		do(old.kill())
	}
	o.copies++
	dir := filepath.Join(o.s.dir, fmt.Sprint("copy-", o.copies))
	do(os.CopyFS(dir, os.DirFS(oldDir)))
	env := []string{roleEnv + "=coordinator", dirEnv + "=" + dir, urlEnv + "=" + o.s.proxies["coordinator"].URL()}
	next := &process{name: "coordinator", log: filepath.Join(o.s.dir, fmt.Sprintf("copy-%d.log", o.copies)), env: append(slices.Clone(env), takeOverEnv+"=yes")}
	o.s.processes["coordinator"] = next
	do(next.start())
	do(next.awaitReady())
	next.mu.Lock()
	next.env = env
	next.mu.Unlock()
	do(os.Truncate(next.log, 0)) // drops the log of the take-over, which must wait if the bus does not fence
	if !paused {
		o.refuses(oldDir, "older copy")
		return
	}
	do(last.Signal(syscall.SIGCONT))
	do(world.AwaitClosed(last.Exited(), "the coordinator that was replaced is gone"))
	if last.State().Success() {
		o.t.Error("a coordinator that was replaced ends with code 0")
	}
	do(o.read(oldDir))
	o.refuses(oldDir, "older copy")
}

// read reads the lists of sagas that a replaced coordinator had accepted or changed.
func (o *rivals) read(dir string) error {
	lists, err := filepath.Glob(filepath.Join(dir, "replaced-*.txt"))
	if err != nil || len(lists) == 0 {
		return errors.Join(err, fmt.Errorf("a coordinator that was replaced has left no list in %s", dir))
	}
	for _, name := range lists {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if id, _, _ := strings.Cut(line, "\t"); !strings.HasPrefix(id, "#") {
				o.listed[contract.SagaID(id)] = true
			}
		}
		if err := os.Remove(name); err != nil { // so that the next copy does not include it
			return err
		}
	}
	return nil
}

// audit audits the last owner's store and the participants' effects. A saga that a replaced
// coordinator has listed may be unknown in that store or in an earlier state, but then its later
// commands had no effect.
func (o *rivals) audit(l *load, found []world.Finding) {
	o.t.Helper()
	final := filepath.Join(o.s.dir, "final")
	if err := os.MkdirAll(final, 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(o.dir(), filepath.Join(final, "coordinator")); err != nil {
		o.t.Fatal(err)
	}
	runs := l.All()
	fates, unlike, err := world.ReadStore(o.t.Context(), filepath.Join(final, "coordinator", server.StoreFile), transferMoney, runs)
	if err != nil {
		o.t.Fatal(err)
	}
	b, err := world.ReadBooks(o.t.Context(), o.s.dir)
	if err != nil {
		o.t.Fatal(err)
	}
	phases, unknown := map[contract.Phase]int{}, 0
	for i := range runs {
		r := &runs[i]
		f, exists := fates[r.ID]
		if o.listed[r.ID] {
			r.Wrong, r.Ended = "", time.Time{}
			if !exists {
				r.Acked = time.Time{}
				unknown++
			}
		}
		if exists {
			phases[f.Phase]++
			if strings.Contains(r.Wrong, "no such saga") { // answered by a replaced owner that had not noticed yet
				r.Wrong = ""
			}
		}
	}
	for _, f := range append(append(found, unlike...), world.Audit(runs, fates, b)...) {
		o.t.Error(f)
	}
	o.t.Logf("%d sagas, %v; replaced coordinators have listed %d, of which the last owner does not know %d", len(runs), phases, len(o.listed), unknown)
	if len(phases) < 2 {
		o.t.Errorf("sagas ended %v; a run in which nothing goes back shows little", phases)
	}
	if len(o.listed) == 0 {
		o.t.Error("no replaced coordinator had anything to list")
	}
}
