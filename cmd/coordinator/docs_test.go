package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// limit is the timeout of each command and condition.
const limit = 5 * time.Minute

// notHere maps the commands that the test does not run to the reason.
var notHere = map[string]string{
	"go run ./examples/order-checkout": "TestDemo of the example runs it",
	"docker compose up":                "compose-test.sh of the example runs it",
	"go test ./...":                    "it is running",
}

// TestPagesCanBeFollowed runs every command of the README and the tutorial, in order, in an empty
// directory with the repository's files. Servers keep running in the background; all other commands
// must succeed. Free ports are used.
func TestPagesCanBeFollowed(t *testing.T) {
	if testing.Short() {
		t.Skip("it links three programs")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./cmd/coordinator", "./examples/tutorial", "./examples/order-checkout")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for page, least := range map[string]int{"README.md": 9, "docs/TUTORIAL.md": 4} {
		t.Run(page, func(t *testing.T) {
			f := &follower{t: t, bin: bin, dir: t.TempDir()}
			if err := os.Symlink(filepath.Join(root, "examples"), filepath.Join(f.dir, "examples")); err != nil {
				t.Fatal(err)
			}
			ran := 0
			for _, command := range commandsOf(t, filepath.Join(root, page)) {
				if notHere[command] == "" {
					f.follow(command)
					ran++
				}
			}
			if ran < least {
				t.Errorf("%d commands of %s were run, want at least %d", ran, page, least)
			}
			left, err := filepath.Glob(filepath.Join(f.dir, "*.db"))
			if err != nil || len(left) > 0 {
				t.Errorf("deleting ./data does not reset everything: %v, %v", left, err)
			}
		})
	}
}

var shells = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")

// commandsOf returns the lines of the page's shell blocks, without comments.
func commandsOf(t *testing.T, page string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range shells.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			if command, _, _ := strings.Cut(line, " #"); strings.TrimSpace(command) != "" {
				commands = append(commands, strings.TrimSpace(command))
			}
		}
	}
	return commands
}

// follower runs the commands of a page.
type follower struct {
	t        *testing.T
	bin, dir string
	env      []string // of the background processes
}

func (f *follower) follow(command string) {
	f.t.Helper()
	program, args := "", strings.Fields(command)
	switch {
	case len(args) > 2 && args[0] == "go" && args[1] == "install" && strings.HasPrefix(args[2], "./"):
		install := exec.CommandContext(f.t.Context(), "go", args[1:]...)
		install.Dir, install.Env = filepath.Join("..", ".."), append(os.Environ(), "GOBIN="+f.bin)
		if out, err := install.CombinedOutput(); err != nil {
			f.t.Fatalf("%s: %v: %s", command, err, out)
		}
		return
	case len(args) > 2 && args[0] == "go" && args[1] == "run" && strings.HasPrefix(args[2], "./"):
		program, args = filepath.Base(args[2]), args[3:]
	case len(args) > 1 && args[0] == "coordinator":
		program, args = args[0], args[1:]
	default:
		f.t.Fatalf("%s: it needs more than this repository and Go; or add it to notHere with a reason", command)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	f.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, filepath.Join(f.bin, program), args...)
	out := &safeBuffer{}
	c.Dir, c.Stdout, c.Stderr = f.dir, out, out
	c.Env = append(os.Environ(), "TMPDIR="+f.dir, "HTTP=127.0.0.1:0", "AMENDS_CONTEXTS="+filepath.Join(f.dir, "contexts.yaml"))
	c.Env = append(c.Env, f.env...)
	ready := filepath.Join(f.dir, "ready.json")
	serves := len(args) > 0 && args[0] == "serve"
	if serves {
		c.Env = append(c.Env, "AMENDS_NATS_LISTEN=127.0.0.1:0", "AMENDS_HTTP=127.0.0.1:0", "AMENDS_READY_FILE="+ready)
	}
	if !serves && (len(args) == 0 || args[0] != "service") {
		if err := c.Run(); err != nil {
			f.t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return
	}
	if err := c.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	f.t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		if err := <-ended; err != nil {
			f.t.Errorf("%s: %v\n%s", command, err, out)
		}
	})
	for serves && f.env == nil {
		data, err := os.ReadFile(ready)
		var a struct{ NATS, HTTP string }
		if err == nil && json.Unmarshal(data, &a) == nil && a.HTTP != "" {
			f.env = []string{"NATS_URL=" + a.NATS, "AMENDS_SERVER=" + a.HTTP}
		}
		select {
		case err := <-ended:
			ended <- err
			f.t.Fatalf("%s: %v\n%s", command, err, out)
		case <-ctx.Done():
			f.t.Fatalf("%s is not ready:\n%s", command, out)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// safeBuffer is a buffer that a process writes and a test reads.
type safeBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}
