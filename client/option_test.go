package client_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
)

// TestSettings: 0 is the default, and a value that cannot be used is reported by Check and by every
// request.
func TestSettings(t *testing.T) {
	if err := client.New(nobody{}, client.Concurrency(0), client.RequestTimeout(0), client.PollInterval(0), client.GiveUp(-1)).Check(); err != nil {
		t.Error(err)
	}
	if _, err := client.New(nil).Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "the bus is nil") {
		t.Errorf("no bus: %v", err)
	}
	for want, o := range map[string]client.Option{
		"Concurrency is -5; give 1 to ":         client.Concurrency(-5),
		"Concurrency is 9223372036854775807; ":  client.Concurrency(math.MaxInt),
		"RequestTimeout is -1s; give":           client.RequestTimeout(-time.Second),
		"PollInterval is -1s; give":             client.PollInterval(-time.Second),
		"PollInterval is 1h0m0s; give at most ": client.PollInterval(time.Hour),
		"shop.*":                                client.Prefix("shop.*"),
	} {
		c := client.New(nobody{}, o)
		_, got := c.Get(t.Context(), "a")
		_, run := c.Run(t.Context(), contract.DefinitionRef{Name: "checkout"}, 1)
		_, wait := c.Wait(t.Context(), "a")
		for what, err := range map[string]error{"Get": got, "Run": run, "Wait": wait} {
			if !errors.Is(err, client.ErrInvalid) || !errors.Is(err, c.Check()) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %s", what, err, want)
			}
		}
	}
}

// TestGiveUp: 0 means ten minutes, and a negative value that a request is repeated until its context
// ends.
func TestGiveUp(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 10 * time.Minute, -1: time.Hour, time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			began := time.Now()
			_, err := client.New(nobody{}, client.GiveUp(given), client.Logger(slog.New(slog.DiscardHandler))).Get(ctx, "a")
			if took := time.Since(began); !errors.Is(err, client.ErrUnavailable) || took < want || took > want+5*time.Second {
				t.Errorf("GiveUp %s: %v after %s", given, err, took)
			}
		})
	}
}
