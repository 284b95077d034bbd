//go:build linux && lab

package powercut

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/lab/world"
)

// cutsPerDisk is the number of cuts on one disk.
const cutsPerDisk = 12

// tally counts the results of a series of cuts.
type tally struct {
	cuts, disks, acks, sagas, early, lost int
	began                                 time.Time
}

func (s *tally) log(t *testing.T, engine string) {
	t.Helper()
	t.Logf("seed %d: %s: %d cuts on %d disks, %d of them before the store was open; %d acknowledgements for %d sagas; %d cuts with a loss; %s",
		*seed, engine, s.cuts, s.disks, s.early, s.acks, s.sagas, s.lost, time.Since(s.began).Round(time.Millisecond))
}

// TestPowerCuts cuts the power repeatedly while sagas change, and checks that everything
// acknowledged is still there.
func TestPowerCuts(t *testing.T) {
	want := form(*cuts, 300, 24)
	rng := rngOf(*seed, "cuts")
	sum := tally{began: time.Now()}
	told := sum.began
	cutDisk(t, rng, "", 1, func() int { return 1 }, &sum) // one cut always comes while the store opens
	sum.disks++
	for ; sum.cuts < want; sum.disks++ {
		if time.Since(told) > 30*time.Second {
			told = time.Now()
			t.Logf("%d of %d cuts, %s", sum.cuts, want, time.Since(sum.began).Round(time.Second))
		}
		cutDisk(t, rng, "", min(cutsPerDisk, want-sum.cuts), anyTime(rng), &sum)
		if t.Failed() {
			break
		}
	}
	sum.log(t, "FUSE")
	if !t.Failed() && (sum.acks < 20*want || sum.early == 0 && want >= 300) {
		t.Error("the cuts come too early, or none comes while the store opens: the test does not bite")
	}
}

// anyTime returns a function that draws the change at which to cut: while the store opens, soon
// after, or later.
func anyTime(rng *rand.Rand) func() int {
	return func() int {
		if rng.IntN(4) == 0 {
			return 1 + rng.IntN(24)
		}
		return 1 + rng.IntN(600)
	}
}

// TestCutWhileMade cuts the power at each of the first changes to a new disk. Afterwards the store
// opens or does not exist.
func TestCutWhileMade(t *testing.T) {
	rng := rngOf(*seed, "made")
	sum := tally{began: time.Now()}
	for range form(*cuts/500, 3, 1) {
		for at := range 100 { // the state, its log, and the first commits
			cutDisk(t, rng, "", 1, func() int { return at + 1 }, &sum)
			sum.disks++
		}
	}
	sum.log(t, "FUSE, while the store is made")
	if !t.Failed() && sum.early < sum.cuts/6 {
		t.Error("no cut comes while the store is made: the test does not bite")
	}
}

// TestWithoutFsync checks that the audit detects a disk that only pretends to fsync and so loses
// acknowledged data.
func TestWithoutFsync(t *testing.T) {
	for _, c := range []struct {
		lie  string
		bite int // how many of 16 disks must be detected at least
	}{
		{"data", 12},
		{"names", 1}, // the store has one name, which half the disks keep by chance
	} {
		t.Run(c.lie, func(t *testing.T) {
			rng := rngOf(*seed, c.lie)
			sum := tally{began: time.Now()}
			for ; sum.disks < 16; sum.disks++ {
				cutDisk(t, rng, c.lie, 2, anyTime(rng), &sum)
			}
			sum.log(t, "FUSE without fsync of "+c.lie)
			if sum.lost < c.bite {
				t.Errorf("only %d of %d disks lost anything, at least %d should: the audit does not bite", sum.lost, sum.disks, c.bite)
			}
		})
	}
}

// cutDisk makes n cuts on a new disk. when draws the change to the disk that a cut replaces. If the
// disk lies, cutDisk counts the first finding and stops; otherwise a finding fails the test.
func cutDisk(t *testing.T, rng *rand.Rand, lie string, n int, when func() int, sum *tally) {
	t.Helper()
	d := newDisk(t)
	defer d.end() // a long run has thousands of disks
	heard := newLedger()
	defer func() { sum.acks, sum.sagas = sum.acks+heard.acks, sum.sagas+len(heard.promises) }()
	d.order("lie", lie)
	d.order("seed", rng.Uint32())
	d.mount()
	defer d.unmount()
	for range n {
		at := when()
		said := cutLoad(t, d, at, rng)
		heard.hear(t, said)
		sum.cuts++
		if len(said) == 0 {
			sum.early++
		}
		d.order("unmount", "")
		d.mount()
		err := heard.auditFile(t.Context(), d.dir)
		if err != nil {
			sum.lost++
			if lie == "" {
				t.Errorf("seed %d, cut %d, in place of change %d: %v", *seed, sum.cuts, at, err)
			}
			return
		}
	}
}

// cutLoad runs a load until the power is cut, and returns the lines that it printed.
func cutLoad(t *testing.T, d *disk, at int, rng *rand.Rand) []string {
	t.Helper()
	d.order("arm", at)
	var complaints bytes.Buffer
	load := start(t, &complaints, roleEnv+"=load", dirEnv+"="+d.dir, seedEnv+"="+strconv.FormatUint(uint64(rng.Uint32()), 10))
	select {
	case <-d.cuts:
	case <-time.After(world.Limit):
		t.Fatalf("the power was not cut within %s; the load says: %s", world.Limit, complaints.String())
	}
	return load.kill()
}
