package loglimit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/internal/loglimit"
)

// logger returns a logger that omits the time.
func logger(out *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func lines(out *bytes.Buffer) []string {
	defer out.Reset()
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// TestRepeatedLines: the first message of a kind is logged at once. Further ones are logged every
// ten seconds, with the number of suppressed ones. Other kinds and levels are not affected (I10).
func TestRepeatedLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := loglimit.Logger(logger(&out))
		for range 1000 {
			l.Warn("dead letter", "class", "step", "subject", "a")
		}
		l.Warn("dead letter", "class", "sender")
		l.With("participant", "bank").Warn("dead letter", "class", "sender")
		l.Error("dead letter", "class", "sender")
		l.Info("dead letter", "class", "step")
		l.Info("dead letter", "class", "step")
		want := []string{
			`level=WARN msg="dead letter" class=step subject=a`,
			`level=WARN msg="dead letter" class=sender`,
			`level=WARN msg="dead letter" participant=bank class=sender`,
			`level=ERROR msg="dead letter" class=sender`,
			`level=INFO msg="dead letter" class=step`,
			`level=INFO msg="dead letter" class=step`,
		}
		if got := lines(&out); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the log says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		time.Sleep(loglimit.Interval)
		l.Warn("dead letter", "class", "type")
		want = []string{ // suppressed messages are logged with the next message
			`level=WARN msg="dead letter (and 998 more)" class=step subject=a more=998`,
			`level=WARN msg="dead letter" class=type`,
		}
		if got := lines(&out); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the log says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		l.Warn("dead letter", "class", "step")
		time.Sleep(loglimit.Interval + time.Millisecond)
		l.Warn("dead letter", "class", "step")
		l.Warn("dead letter", "class", "step")
		if got := lines(&out); len(got) != 1 || !strings.Contains(got[0], "class=step") {
			t.Errorf("the log has %q, want one message within ten seconds", got)
		}
	})
}

// TestKindsAreBounded: kinds above the limit count as one kind until there is room again (I10).
func TestKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := loglimit.Logger(logger(&out))
		for n := range 10 * loglimit.MaxKinds {
			l.Warn("malformed", "participant", fmt.Sprint("p", n))
		}
		if got := len(lines(&out)); got != loglimit.MaxKinds+1 {
			t.Errorf("%d messages at once, want one for each of %d kinds and one for all others", got, loglimit.MaxKinds)
		}
		time.Sleep(loglimit.Interval + time.Second)
		l.Warn("malformed", "participant", "q")
		got := lines(&out)
		if last := got[len(got)-1]; len(got) != 2 || !strings.Contains(got[0], "more=") || !strings.HasSuffix(last, "participant=q") {
			t.Errorf("the log has %q, want the suppressed messages, and the new kind separately", got)
		}
	})
}

// TestLimitedOnce: limiting a limited logger has no effect.
func TestLimitedOnce(t *testing.T) {
	var out bytes.Buffer
	l := loglimit.Logger(logger(&out))
	if loglimit.Logger(l) != l {
		t.Error("it is wrapped twice")
	}
}
