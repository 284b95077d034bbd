//go:build crashpoints && unix

package crashpoint

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
)

const childEnv = "AMENDS_CRASHPOINT_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		for range 5 {
			Here(BeforeCommit)
			Here(AfterCommit)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run starts the child process, and returns its status and log.
func run(t *testing.T, target string) (status syscall.WaitStatus, log string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1", Env+"="+target, LogEnv+"="+path)
	_ = cmd.Run()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus), string(data)
}

func TestDiesAtTheVisit(t *testing.T) {
	const before, after = "boltstore: before commit\n", "boltstore: after commit\n"
	for target, want := range map[string]string{
		"boltstore: before commit":   before + Died + before,
		"boltstore: before commit#2": before + after + before + Died + before,
		"boltstore: after commit#1":  before + after + Died + after,
	} {
		status, log := run(t, target)
		if status.Signal() != syscall.SIGKILL {
			t.Errorf("%s: ended with %v, expected SIGKILL", target, status)
		}
		if log != want {
			t.Errorf("%s: noted\n%s expected\n%s", target, log, want)
		}
	}
}

func TestLivesOtherwise(t *testing.T) {
	for _, target := range []string{"", "boltstore: before commit#6", "bus: before Publish"} {
		if status, _ := run(t, target); status.ExitStatus() != 0 {
			t.Errorf("%q: ended with %v, expected 0", target, status)
		}
	}
	for _, target := range []string{"no such point", "boltstore: before commit#0", "boltstore: before commit#x"} {
		if status, _ := run(t, target); status.ExitStatus() != 2 {
			t.Errorf("%q: ended with %v, expected a panic", target, status)
		}
	}
}

func TestWrap(t *testing.T) {
	if w := Wrap[io.Writer](os.Stdout); w != os.Stdout {
		t.Error("wrapped although nobody asked for it")
	}
	Use(func(w io.Writer) io.Writer { return io.MultiWriter(w) })
	defer delete(wrappers, reflect.TypeFor[io.Writer]())
	if w := Wrap[io.Writer](os.Stdout); w == os.Stdout {
		t.Error("not wrapped")
	}
	if r := Wrap[io.Reader](os.Stdin); r != os.Stdin {
		t.Error("something else was wrapped")
	}
}
