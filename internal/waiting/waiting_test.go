package waiting_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/internal/waiting"
)

// TestLine: a wait is logged at once and then every few seconds, with its start, its reason and its
// timeout. Its end is logged only if the wait was.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		line := waiting.On(log, "the bus", time.Minute, "url", "nats://here")
		line.Over()
		if out.Len() > 0 {
			t.Errorf("logged without a wait: %s", &out)
		}
		began := time.Now().UTC().Format(time.RFC3339)
		for range 200 {
			line.Still(errors.New("refused"))
			time.Sleep(100 * time.Millisecond)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 4 {
			t.Fatalf("logged in 20 s:\n%s", &out)
		}
		for _, one := range lines {
			for _, word := range []string{`level=WARN msg="waiting for the bus"`, "since=" + began, "url=nats://here", "gives_up_after=1m0s", "error=refused"} {
				if !strings.Contains(one, word) {
					t.Errorf("%q lacks %q", one, word)
				}
			}
		}
		line.Over()
		if !strings.Contains(out.String(), `msg="no longer waiting for the bus" waited=20s`) {
			t.Errorf("the end is not logged: %s", &out)
		}
	})
}
