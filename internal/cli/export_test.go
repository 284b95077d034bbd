package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

// full is an output that fails after a given number of writes.
type full struct {
	bytes.Buffer
	writes int
}

func (f *full) Write(b []byte) (int, error) {
	if f.writes--; f.writes < 0 {
		return 0, errors.New("no space left on device")
	}
	return f.Buffer.Write(b)
}

// exported parses the output of an export, and returns the number of lines of each saga.
func exported(t *testing.T, text string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for line := range strings.Lines(text) {
		var one struct {
			Saga struct {
				ID       string
				Revision json.Number
			}
			History []struct{ Type string }
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("not a line of JSON: %v: %q", err, line)
		}
		if fmt.Sprint(len(one.History)) != strings.Trim(one.Saga.Revision.String(), `"`) || one.History[0].Type != "started" {
			t.Errorf("saga %s at revision %s has the history %v", one.Saga.ID, one.Saga.Revision, one.History)
		}
		found[one.Saga.ID]++
	}
	return found
}

// An interrupted export resumes after the last complete page. Both parts together hold every saga
// that ended.
func TestExportGoesOn(t *testing.T) {
	const sagas = 7
	url := endedSagas(t, sagas)
	mark := filepath.Join(t.TempDir(), "cursor")
	export := func(out io.Writer) (int, string) {
		var said strings.Builder
		code := cli.Run(t.Context(), []string{"export", "--server", url, "--page-size", "2", "--cursor-file", mark}, strings.NewReader(""), out, &said)
		return code, said.String()
	}
	first := &full{writes: 2}
	if code, said := export(first); code != cli.ExitFailed || !strings.Contains(said, "no space left") {
		t.Fatalf("a full disk: exit code %d: %s", code, said)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Fatal(err)
	}
	second := &full{writes: 100}
	if code, said := export(second); code != cli.ExitOK || !strings.Contains(said, "exported 3 sagas") {
		t.Fatalf("resumed: exit code %d: %s", code, said)
	}
	all := exported(t, first.String()+second.String())
	if len(all) != sagas {
		t.Errorf("%d sagas in both parts, want %d: %v", len(all), sagas, all)
	}
	for id, n := range all {
		if n != 1 {
			t.Errorf("saga %s has %d lines", id, n)
		}
	}
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cursor file is still there: %v", err)
	}
}

// endedSagas runs a coordinator that has n ended sagas.
func endedSagas(t *testing.T, n int) (url string) {
	t.Helper()
	count := contract.NewCommand[int, int]("counter", "count")
	def := saga.MustDefine[int]("counting", saga.Pivot("count", saga.Do(count)))
	s, err := server.Start(t.Context(), server.Config{
		DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Definitions: []*saga.Definition{def},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error, 1)
	bus, err := s.Connect(ctx, "counter")
	if err != nil {
		t.Fatal(err)
	}
	p := participant.New("counter", &participant.MemoryInbox{})
	participant.Handle(p, count, func(_ context.Context, _ *participant.MemoryTx, n int) (int, error) { return n, nil })
	go func() { left <- p.Run(ctx, bus) }()
	t.Cleanup(func() {
		leave()
		if err := errors.Join(<-left, bus.Close(), s.Stop(context.Background())); err != nil {
			t.Error(err)
		}
	})
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := client.New(bus)
	for i := range n {
		s, err := c.Start(within, def, i, client.ID(contract.SagaID(fmt.Sprint("order-", i))))
		if err == nil {
			_, err = c.Wait(within, s.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s.Addresses().HTTP
}
