package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/corrupttest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"coordinator": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the command line in real processes with a real server and real files.
// The scripts have these extra commands:
//
//	ready file                  wait for a ready file, set NATS_URL, HTTP_URL and AMENDS_SERVER from it
//	term file                   send SIGTERM to the process that wrote the ready file
//	exits code command…         run a command that must exit with this code
//	secret file field to        take a field of a JSON file into a variable AMENDS_…, or a file
//	answer participant outcome  answer every command of a participant with this outcome from now on
//	poison store saga           append a record to the log that cannot be applied; its number is in RECORD
//	rot store saga other        damage the record of one saga, and not that of the other
func TestScripts(t *testing.T) { scripts(t, "script") }

// scripts runs the scripts in one directory of testdata.
func scripts(t *testing.T, dir string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", dir),
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": ready, "term": term, "exits": exits, "secret": secret, "answer": answer, "rot": rotten, "poison": poisoned,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("AMENDS_READY_FILE", filepath.Join(e.WorkDir, "ready.json"))
			e.Setenv("AMENDS_NATS_LISTEN", "127.0.0.1:0")
			e.Setenv("AMENDS_BY", "ada")
			e.Setenv("LONG", strings.Repeat("x", 70_000)) // longer than any field may be
			e.Setenv("AMENDS_TIMEOUT", "2m")              // for a busy machine
			e.Values[answering{}] = map[string]func(){}
			e.Setenv("AMENDS_CONTEXTS", filepath.Join(e.WorkDir, "contexts.yaml"))
			return nil
		},
	})
}

// readyLimit is the timeout for a coordinator to become ready.
const readyLimit = 2 * time.Minute

type addresses struct {
	NATS, HTTP string
	PID        int
}

func readReady(ts *testscript.TestScript, file string) (a addresses, err error) {
	data, err := os.ReadFile(ts.MkAbs(file))
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(data, &a)
}

func ready(ts *testscript.TestScript, _ bool, args []string) {
	for limit := time.Now().Add(readyLimit); ; time.Sleep(10 * time.Millisecond) {
		a, err := readReady(ts, args[0])
		if err == nil {
			ts.Setenv("NATS_URL", a.NATS)
			ts.Setenv("HTTP_URL", a.HTTP)
			ts.Setenv("AMENDS_SERVER", a.HTTP)
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("no coordinator was ready within %s: %v", readyLimit, err)
		}
	}
}

func term(ts *testscript.TestScript, _ bool, args []string) {
	a, err := readReady(ts, args[0])
	ts.Check(err)
	ts.Check(syscall.Kill(a.PID, syscall.SIGTERM))
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code is %d, want %d", code, want)
	}
}

func rotten(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(corrupttest.Saga(context.Background(), ts.MkAbs(args[0]), contract.SagaID(args[1]), contract.SagaID(args[2])))
}

func poisoned(ts *testscript.TestScript, _ bool, args []string) {
	number, err := corrupttest.Record(ts.MkAbs(args[0]), contract.SagaID(args[1]))
	ts.Check(err)
	ts.Setenv("RECORD", strconv.FormatUint(number, 10))
}

func secret(ts *testscript.TestScript, _ bool, args []string) {
	values := map[string]string{}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &values))
	if value, to := values[args[1]], args[2]; strings.HasPrefix(to, "AMENDS_") {
		ts.Setenv(to, value)
	} else {
		ts.Check(os.WriteFile(ts.MkAbs(to), []byte(value+"\n"), 0o600))
	}
}

// answering is the context key for the services that a script has started, with their cancel
// functions.
type answering struct{}

// answer starts a simulated service.
func answer(ts *testscript.TestScript, _ bool, args []string) {
	participant, outcome := args[0], args[1]
	services := ts.Value(answering{}).(map[string]func())
	if stop, ok := services[participant]; ok {
		stop()
	}
	ctx, cancel := context.WithCancel(context.Background())
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: ts.Getenv("NATS_URL"), Name: participant})
	ts.Check(err)
	source, err := bus.Subscribe(ctx, transport.Subscription{
		Stream: transport.StreamCommands, Name: participant, Subjects: []string{transport.Subjects{}.Commands(participant)},
	})
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			batch, err := source.Receive(ctx, 10)
			if err != nil {
				return
			}
			for _, d := range batch {
				c := d.Envelope()
				bus.Publish(ctx, []transport.Envelope{{
					Subject: c.ReplyTo, ID: c.ID, Source: "/" + participant, Time: time.Now(),
					Type: "dev.amends." + outcome + ".v1", Reason: strings.Join(args[2:], " "), Data: []byte(`{}`),
				}})
				d.Ack()
			}
		}
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-done
		_ = source.Close()
		_ = bus.Close()
	})
	ts.Defer(stop)
	services[participant] = stop
}
