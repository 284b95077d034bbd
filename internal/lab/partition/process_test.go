//go:build linux && lab

package partition

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/amends-dev/amends/internal/lab/world"
)

// process is the test binary in one of its roles.
type process struct {
	*world.Process
	name  string
	log   string // log file
	ready string // file that exists once the process takes work
}

// start starts a process in a namespace, or in the test's own if in is nil, and cleans up after it.
// The process has its own directory for its log and for the file "ready", which it writes once it
// takes work.
func start(t *testing.T, in *namespace, name, dir string, p part, env ...string) *process {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	role, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	proc := &process{name: name, log: filepath.Join(dir, "log"), ready: filepath.Join(dir, "ready")}
	_ = os.Remove(proc.ready)
	proc.Process, err = world.Start(world.Command{Name: name, Env: append(env, roleEnv+"="+string(role)), Log: proc.log, Within: in.do})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proc.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, world.Tail(proc.log, 30))
		}
	})
	return proc
}

// awaitReady waits until the process takes work.
func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	err := world.Poll(p.name+" is ready", func() bool {
		_, err := os.Stat(p.ready)
		return err == nil || p.Gone()
	})
	if err == nil && p.Gone() {
		err = fmt.Errorf("%s has ended: %s", p.name, p.State())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// terminate asks the process to end, which it must do with code 0.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.Terminate(); err != nil {
		t.Error(err)
	}
}

// endsWith waits until the process has ended, and checks its exit code and the texts in its log.
func (p *process) endsWith(t *testing.T, code int, texts ...string) {
	t.Helper()
	if err := p.AwaitExit(); err != nil {
		t.Fatal(err)
	}
	if got := p.State().ExitCode(); got != code {
		t.Errorf("%s ended with %s, want exit code %d", p.name, p.State(), code)
	}
	for _, text := range texts {
		if !p.Said(text) {
			t.Errorf("%s ended and did not say %q; it said:\n%s", p.name, text, world.Tail(p.log, 5))
		}
	}
}
