package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/cli"
)

// smallDisk is set in the environment of the process that may mount a small disk.
const smallDisk = "AMENDS_TEST_SMALL_DISK"

// TestFullDisk checks each command on a full disk. It ends with the exit code given in
// docs/OPERATING.md, reports what is full and what to do, and leaves no partial file. The disk is a
// small tmpfs in the namespaces of a separate process.
func TestFullDisk(t *testing.T) {
	if os.Getenv(smallDisk) == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
		again.Env = append(os.Environ(), smallDisk+"="+t.TempDir())
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Getuid() != 0 {
			again.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			}
		}
		out, err := again.CombinedOutput()
		switch {
		case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EINVAL):
			t.Skipf("user namespaces are not available: %v", err)
		case err != nil:
			t.Fatalf("%v\n%s", err, out)
		case bytes.Contains(out, []byte("--- SKIP")):
			t.Skipf("%s", out)
		}
		return
	}
	disk := os.Getenv(smallDisk)
	_ = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") // keeps the mount private to this process
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted: %v", err)
	}
	w := &fullDisk{t: t, dir: t.TempDir(), disk: disk}
	w.coordinator()
	w.writers()
	w.stores()
}

// fullDisk is a small disk, and a directory on another disk.
type fullDisk struct {
	t         *testing.T
	dir, disk string
	server    string
}

// run runs a command and returns its exit code and error output.
func (w *fullDisk) run(ctx context.Context, to io.Writer, line string) (code int, said string) {
	w.t.Helper()
	var errs bytes.Buffer
	code = cli.Run(ctx, strings.Fields(strings.NewReplacer("DISK", w.disk, "DIR", w.dir, "SERVER", w.server).Replace(line)), strings.NewReader(""), to, &errs)
	return code, errs.String()
}

// right runs a command that must succeed.
func (w *fullDisk) right(line string) {
	w.t.Helper()
	if code, said := w.run(w.t.Context(), io.Discard, line); code != cli.ExitOK {
		w.t.Fatalf("%s: exit code %d, %s", line, code, said)
	}
}

// full runs a command that runs out of space, and checks its exit code and output.
func (w *fullDisk) full(to io.Writer, line string, want int, todo string) {
	w.t.Helper()
	before := w.names()
	code, said := w.run(w.t.Context(), to, line)
	if code != want || !strings.Contains(said, "no space left on device") || !strings.Contains(said, todo) {
		w.t.Errorf("%s: exit code %d, want %d and %q; output %s", line, code, want, todo, said)
	}
	if after := w.names(); after != before {
		w.t.Errorf("%s leaves files behind:\n%s\nbefore:\n%s", line, after, before)
	}
}

// names lists the files on the small disk.
func (w *fullDisk) names() string {
	var names strings.Builder
	_ = filepath.WalkDir(w.disk, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, "/nats/") {
			_, _ = fmt.Fprintln(&names, path)
		}
		return nil
	})
	return names.String()
}

// fill fills the disk to its last byte.
func (w *fullDisk) fill() {
	w.t.Helper()
	f, err := os.Create(filepath.Join(w.disk, "filler"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
}

func (w *fullDisk) unfill() {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.disk, "filler")); err != nil {
		w.t.Fatal(err)
	}
}

// readyz returns the status and the text of the coordinator's readiness.
func (w *fullDisk) readyz() string {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.server+"/readyz", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.Status + ": " + string(text)
}

func (w *fullDisk) empty() {
	w.t.Helper()
	entries, err := os.ReadDir(w.disk)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(w.disk, e.Name())); err != nil {
			w.t.Fatal(err)
		}
	}
}

const small = " --nats-listen 127.0.0.1:0 --http 127.0.0.1:0 --log-level error --queue-bytes 1000000 --lifecycle-bytes 1000000 --dead-letter-bytes 1000000"

// serve runs a coordinator until the test ends. ended receives its exit code.
func (w *fullDisk) serve(data string) (ended <-chan int, said *bytes.Buffer, stop func()) {
	w.t.Helper()
	ready := filepath.Join(w.dir, "ready.json")
	_ = os.Remove(ready)
	ctx, cancel := context.WithCancel(context.Background())
	done, out := make(chan int, 1), &bytes.Buffer{}
	go func() {
		line := "serve --data-dir " + data + " --definitions DIR/nobody.yaml --ready-file " + ready + small
		code, errs := w.run(ctx, io.Discard, line)
		out.WriteString(errs)
		done <- code
	}()
	for limit := time.Now().Add(readyLimit); ; time.Sleep(10 * time.Millisecond) {
		if data, err := os.ReadFile(ready); err == nil {
			_, after, _ := strings.Cut(string(data), `"http":"`)
			w.server, _, _ = strings.Cut(after, `"`)
			return done, out, cancel
		}
		select {
		case code := <-done:
			w.t.Fatalf("the coordinator ended with %d: %s", code, out)
		default:
		}
		if time.Now().After(limit) {
			w.t.Fatal("the coordinator did not become ready")
		}
	}
}

// coordinator checks a coordinator whose disk fills up: starts are refused, what was started goes on, and
// so does everything else once there is room. It does not start on a full disk. No data is lost.
func (w *fullDisk) coordinator() {
	for name, step := range map[string]string{
		"nobody": "{name: call, kind: retriable, do: {participant: nobody, action: call}}",
		"park":   "{name: call, kind: pivot, do: {participant: nobody, action: call, timeout: 10ms, retry: {attempts: 1}}}",
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name+".yaml"), []byte("name: "+name+"\nversion: 1\nsteps:\n  - step: "+step+"\n"), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "large.json"), []byte(`"`+strings.Repeat("x", 100_000)+`"`), 0o600); err != nil {
		w.t.Fatal(err)
	}
	bus := " --bus-storage memory"
	ended, said, stop := w.serve("DISK/data" + bus)
	defer stop()
	w.right("definition apply DIR/park.yaml --server SERVER")
	w.right("start park --id order-0 --server SERVER")
	w.parked("order-0")
	w.fill()
	accepted := 0
	for { // until the segment of the log is used up, or a checkpoint is due
		code, text := w.start(accepted + 1)
		if code == cli.ExitOK {
			accepted++
			continue
		}
		if code != cli.ExitFailed || !strings.Contains(text, "the coordinator's disk is full") {
			w.t.Fatalf("start %d: exit code %d, %s", accepted+1, code, text)
		}
		break
	}
	w.until("it is not ready", func() (bool, string) {
		said := w.readyz()
		return strings.Contains(said, "no saga can be started"), said
	})
	w.right("retry order-0 --by ada --reason x --server SERVER") // a started saga, and its timer
	w.parked("order-0")
	w.right("pause order-1 --by ada --reason x --server SERVER")
	w.unfill()
	accepted++
	w.until("a saga is started, as there is room", func() (bool, string) {
		code, text := w.start(accepted)
		return code == cli.ExitOK, text
	})
	w.fill()
	stop()
	if code := <-ended; code != cli.ExitOK {
		w.t.Errorf("the coordinator ended with %d: %s", code, said)
	}
	code, text := w.run(w.t.Context(), io.Discard, "serve --data-dir DISK/data"+bus+small)
	if code != cli.ExitStoreBroken || !strings.Contains(text, "make room on the disk of the data directory") {
		w.t.Errorf("started on a full disk: exit code %d, output %s", code, text)
	}
	w.unfill()
	var out bytes.Buffer
	if code, text := w.run(w.t.Context(), &out, "verify --data-dir DISK/data"); code != cli.ExitOK {
		w.t.Errorf("verify: exit code %d, %s", code, text)
	}
	_, _, stop = w.serve("DISK/data" + bus)
	defer stop()
	for i := range accepted {
		w.right(fmt.Sprintf("show order-%d --server SERVER", i+1)) // no data is lost
	}
	w.parked("order-0")
	stop()
	w.empty()
}

// until polls a process, which tells nobody when it changes, until done.
func (w *fullDisk) until(what string, done func() (bool, string)) {
	w.t.Helper()
	for limit := time.Now().Add(readyLimit); ; time.Sleep(10 * time.Millisecond) {
		is, said := done()
		if is {
			return
		}
		if time.Now().After(limit) {
			w.t.Fatalf("not within %s: %s; it says %s", readyLimit, what, said)
		}
	}
}

// start starts a saga with a large input.
func (w *fullDisk) start(n int) (code int, said string) {
	w.t.Helper()
	return w.run(w.t.Context(), io.Discard, fmt.Sprintf("start nobody --id order-%d --input DIR/large.json --server SERVER", n))
}

// parked waits until a saga is parked.
func (w *fullDisk) parked(id string) {
	w.t.Helper()
	if code, said := w.run(w.t.Context(), io.Discard, "wait "+id+" --server SERVER"); code != cli.ExitParked {
		w.t.Fatalf("%s: exit code %d, %s", id, code, said)
	}
}

// writers checks that a command that has no space for its output ends with exit code 1.
func (w *fullDisk) writers() {
	ended, _, stop := w.serve("DIR/data")
	for _, id := range []string{"order-1", "order-2"} {
		w.right("start nobody --id " + id + " --server SERVER")
	}
	w.right("definition apply DIR/park.yaml --server SERVER")
	w.right("start park --id order-3 --server SERVER")
	w.parked("order-3")
	w.right("abandon order-3 --by ada --reason x --server SERVER") // a saga to export
	w.right("backup DIR/good.db --server SERVER")
	w.fill()
	w.t.Setenv("AMENDS_CONTEXTS", filepath.Join(w.disk, "contexts.yaml"))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	for _, line := range []string{
		"list --server SERVER", "list -o json --server SERVER", "show order-1 --server SERVER", "history order-1 --server SERVER", "definition graph nobody --server SERVER",
		"definition list --server SERVER", "dead-letters list --server SERVER", "config check", "version", "completion bash", "complete de", "context list", "key create",
		"token create --name ada --role viewer", "nats-permissions payment", "definition lint DIR/nobody.yaml", "simulate --sagas 2",
	} {
		w.full(full, line, cli.ExitFailed, "make room on the disk or write the output elsewhere")
	}
	w.full(full, "export --server SERVER", cli.ExitFailed, "export again")
	w.full(io.Discard, "backup DISK/copy.db --server SERVER", cli.ExitFailed, "make room on the disk")
	w.full(io.Discard, "context set here --server SERVER", cli.ExitFailed, "make room on the disk")
	stop()
	if code := <-ended; code != cli.ExitOK {
		w.t.Errorf("the coordinator ended with %d", code)
	}
	w.full(io.Discard, "backup DISK/copy.db --data-dir DIR/data", cli.ExitFailed, "make room on the disk")
}

// stores checks that a command that has no space for a store ends with exit code 3. Checking a
// backup ends with 1, because the backup is not damaged.
func (w *fullDisk) stores() {
	w.full(io.Discard, "restore DIR/good.db --data-dir DISK/new", cli.ExitStoreBroken, "restore to another disk")
	w.full(io.Discard, "serve --data-dir DISK/new2"+small, cli.ExitStoreBroken, "make room on the disk of the data directory")
	w.empty()
	data, err := os.ReadFile(filepath.Join(w.dir, "good.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.disk, "good.db"), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.fill()
	w.full(io.Discard, "verify DISK/good.db", cli.ExitFailed, "make room on the disk")
}
