//go:build linux && older && lab

package partition

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// older is a coordinator of an earlier release: test/older.sh builds it.
var older = flag.String("partition.older", "", "the `program` of an earlier release")

// TestOlderProgram: under load the coordinator of an earlier release is killed, and that
// of today goes on with what it left; it loses nothing, and does nothing twice (I2, I3,
// I8). The earlier one then refuses the store with the reason, and harms nothing.
//
//	test/older.sh           the last release; before the first, a commit of an earlier layout
//	test/older.sh v0.3.0    this one
func TestOlderProgram(t *testing.T) {
	if *older == "" {
		t.Fatal("which program? run test/older.sh")
	}
	for round := range 5 {
		t.Run(fmt.Sprintf("%d", round), func(t *testing.T) {
			s := newStation(t)
			s.args = []string{"--nats-url", s.url()}
			s.server(t)
			c := s.coordinator(t, part{Program: *older})
			c.awaitReady(t)
			bank := s.bank(t)
			l := startLoad(t, "load", s.config(), s.config(), s.config(), s.config())
			goesOn := func(since time.Time) {
				t.Helper()
				if err := poll("a saga that has just begun ends", func() bool { return !l.endedSince(since).IsZero() }); err != nil {
					t.Fatal(err)
				}
			}
			if err := poll("a hundred have begun and many are under way", func() bool {
				return len(l.all()) > 100 && l.underWay() > workers
			}); err != nil {
				t.Fatal(err)
			}
			if err := c.kill(); err != nil {
				t.Fatal(err)
			}
			left := l.underWay()
			c = s.coordinator(t, part{})
			c.awaitReady(t)
			goesOn(time.Now())
			if err := c.kill(); err != nil {
				t.Fatal(err)
			}
			s.coordinator(t, part{Program: *older}).endsWith(t, 1, "written by a later release")
			c = s.coordinator(t, part{})
			c.awaitReady(t)
			goesOn(time.Now())
			l.finish(t)
			bank.terminate(t)
			c.terminate(t)
			t.Logf("%d sagas were under way when the earlier program was killed", left)
			audit(t, s.data, filepath.Join(s.dir, "bank"), l.all()).report(t)
		})
	}
}
