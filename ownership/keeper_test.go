package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/ownership"
)

const (
	every = ownership.DefaultInterval
	ttl   = ownership.DefaultTTL
)

func TestRestartAfterAKillDoesNotWait(t *testing.T) {
	s, d := newStage(), store("a")
	first := s.owner(t, d, here)
	number := first.Number()
	first.dead = true
	again := s.start(d, here)
	again.due()
	again.is(t, "at once", true)
	if again.Number() != number {
		t.Errorf("the claim's number went from %d to %d", number, again.Number())
	}
}

// TestDiedWhileItClaimed checks that repeated crashes between saving a claim and writing it do not
// prevent the process from being recognised as the store of the registered claim.
func TestDiedWhileItClaimed(t *testing.T) {
	s, d := newStage(), store("a")
	s.owner(t, d, here).dead = true
	for range 3 {
		s.bus.away = false
		p := s.start(d, here)
		read := p.s.bus
		// The claim is saved, but the bus becomes unavailable before it is written.
		registry := &between{bus: read, before: func() { read.away = true }}
		p.Keeper = ownership.New(ownership.Config{
			Registry: registry, Store: d, Me: ownership.Claim{Prefix: "saga", Incarnation: fmt.Sprint("dying-", s.runs), Boot: here.boot, File: here.directory},
			Clock: func() time.Duration { return s.now }, Now: func() time.Time { return epoch.Add(s.now) },
		})
		p.due()
		p.dead = true
	}
	s.bus.away = false
	p := s.start(d, here)
	p.due()
	p.is(t, "the heir", true)
}

// between is a registry that calls before ahead of each write.
type between struct {
	*bus
	before func()
}

func (b *between) Write(ctx context.Context, c *ownership.Claim, over ownership.Position) (ownership.Position, error) {
	b.before()
	return b.bus.Write(ctx, c, over)
}

func TestMovedToAnotherMachine(t *testing.T) {
	for _, fences := range []bool{false, true} {
		s, d := newStage(), store("a")
		s.bus.fences = fences
		first := s.owner(t, d, here)
		number := first.Number()
		first.dead = true
		moved := s.start(d, there)
		s.pass(2*ttl-time.Second, moved)
		moved.is(t, "before two TTLs of silence", false)
		if w := moved.Status().Waiting; !strings.Contains(w, "m1") {
			t.Errorf("Status.Waiting is %q, which does not name m1", w)
		}
		s.pass(2*time.Second, moved)
		moved.is(t, "after them", fences)
		if moved.Number() <= number {
			t.Errorf("claim number %d after %d", moved.Number(), number)
		}
		s.pass(2*ttl, moved)
		moved.is(t, "when the other one has had time to notice", true)
	}
}

func TestCopyBesideTheOriginal(t *testing.T) {
	s, d := newStage(), store("a")
	original := s.owner(t, d, here)
	double := *d
	twin := s.start(&double, there)
	s.pass(3*ttl, original, twin)
	original.is(t, "the original", true)
	twin.refused(t, false, "is running", "m1", "--take-over", "--prefix")
}

func TestOlderCopy(t *testing.T) {
	s, d := newStage(), store("a")
	s.owner(t, d, here).dead = true
	old := *d
	next := s.start(d, here)
	s.pass(every, next)
	next.dead = true
	for _, at := range []place{here, there} { // also in the directory of the newer copy
		copied := old
		p := s.start(&copied, at)
		s.pass(3*ttl, p)
		p.refused(t, false, "older copy")
	}
}

func TestAnotherStore(t *testing.T) {
	s := newStage()
	first := s.owner(t, store("a"), here)
	second := s.start(store("b"), there)
	s.pass(every, first, second)
	second.refused(t, false, "belongs to the store a", "this store is b")
	first.is(t, "the owner", true)
	if err := first.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	first.dead = true
	if first.Confirmed() || first.Number() != 0 {
		t.Error("the store is still the owner after it released the claim")
	}
	third := s.start(store("b"), there)
	third.due()
	third.is(t, "after the release", true)
}

func TestTakeOver(t *testing.T) {
	s := newStage()
	first := s.owner(t, store("a"), here)
	last := epoch.Add(s.now)
	s.now += every / 2
	second := s.start(store("b"), there, takeOver)
	second.due()
	second.is(t, "at once", false)
	s.pass(every, first, second)
	first.refused(t, true, "another store has taken over", "store b")
	var owned *ownership.NotOwnerError
	if errors.As(first.err, &owned) && !owned.Since.Equal(last) {
		t.Errorf("last confirmed at %s, want %s", owned.Since, last)
	}
	if st := first.Status(); st.Owner || st.Confirmed || !st.Replaced || st.Claim.Store != "b" || !st.LastConfirmed.Equal(last) || st.Waiting == "" {
		t.Errorf("status after the replacement: %+v", st)
	}
	s.pass(2*ttl, second)
	second.is(t, "after two TTLs", true)
	second.dead = true
	again := s.start(store("b"), there, takeOver) // a new disk without a saved claim
	again.due()
	again.is(t, "a take-over of a take-over", false)
}

// TestNoTwoClaimsAreAlike checks that a bus which has lost all data gives a new store a different
// number from the one it gave the previous store, even shortly before.
func TestNoTwoClaimsAreAlike(t *testing.T) {
	s := newStage()
	first := s.owner(t, store("a"), here)
	number := first.Number()
	first.dead = true
	s.bus.wipe()
	second := s.start(store("b"), there, func(c *ownership.Config) { // its clock is slightly ahead of the first store's
		c.Now = func() time.Time { return epoch.Add(time.Microsecond) }
	})
	second.due()
	second.is(t, "on a bus that has forgotten", true)
	if second.Number() <= number {
		t.Errorf("both claims have the number %d (before: %d)", second.Number(), number)
	}
}

// TestNoTwoCountOnAlike checks that two owners whose clocks are behind the last number get
// different numbers, even if the bus loses the first claim before the second is written.
func TestNoTwoCountOnAlike(t *testing.T) {
	s := newStage()
	behind := func(c *ownership.Config) { c.Now = func() time.Time { return epoch.Add(-time.Hour) } }
	disk := store("a")
	first := s.owner(t, disk, here)
	first.dead = true
	second := s.start(store("b"), there, behind, takeOver)
	second.due()
	number := second.Number()
	second.dead = true
	s.bus.wipe()
	again := s.start(disk, here, behind)
	s.pass(time.Minute, again)
	again.is(t, "on a bus that has forgotten", true)
	if number == 0 || again.Number() == number {
		t.Errorf("two stores have claim number %d", number)
	}
}

func TestBusIsAway(t *testing.T) {
	s := newStage()
	p := s.owner(t, store("a"), here)
	s.bus.away = true
	s.pass(ttl-every-time.Second, p)
	p.is(t, "for less than a ttl", true)
	s.pass(every+2*time.Second, p)
	p.is(t, "for longer", false)
	if st := p.Status(); !st.Owner || !strings.HasSuffix(st.Waiting, "confirmed: "+errAway.Error()) {
		t.Errorf("status of the owner: %+v", st)
	}
	other := s.start(store("b"), there)
	other.due()
	if st := other.Status(); st.Owner || !strings.HasSuffix(st.Waiting, "yet: "+errAway.Error()) {
		t.Errorf("status of a store that starts meanwhile: %+v", st)
	}
	s.bus.away = false
	s.pass(every, p)
	p.is(t, "back", true)
}

func TestBusForgets(t *testing.T) {
	s, d := newStage(), store("a")
	p := s.owner(t, d, here)
	number := p.Number()
	s.bus.wipe()
	started := s.start(&disk{owned: d.owned}, there) // a copy of the store, started now
	s.pass(every, started, p)
	p.is(t, "the owner makes its claim again", true)
	if s.bus.claim == nil || s.bus.claim.Number != number {
		t.Errorf("the claim is %+v", s.bus.claim)
	}
	s.pass(3*ttl, started, p)
	p.is(t, "the owner", true)
	started.refused(t, false)

	p.dead = true
	s.bus.wipe()
	heir := s.start(d, here)
	s.pass(2*ttl-time.Second, heir)
	heir.is(t, "it waits whether somebody makes the claim again", false)
	s.pass(2*time.Second, heir)
	heir.is(t, "nobody has", true)
	if heir.Number() <= number {
		t.Errorf("claim number %d after %d", heir.Number(), number)
	}
}

func TestFirstClaimAfterAWipeWins(t *testing.T) {
	s := newStage()
	p := s.owner(t, store("a"), here)
	s.bus.wipe()
	fresh := s.start(store("b"), there)
	fresh.due()
	fresh.is(t, "a store that has never had a claim", true)
	s.pass(every, p)
	p.refused(t, true, "store b")
}

func TestAnswerOfAWriteIsLost(t *testing.T) {
	s, d := newStage(), store("a")
	s.bus.mute = true
	p := s.start(d, here)
	s.pass(time.Second, p)
	s.bus.mute = false
	p.is(t, "without answers", false)
	s.pass(2*time.Second, p)
	p.is(t, "with answers", true)
}

func TestAloneWaitsForNobody(t *testing.T) {
	s, d := newStage(), store("a")
	s.owner(t, d, here).dead = true
	s.bus.wipe()
	p := s.start(d, there, alone)
	p.due()
	p.is(t, "with an empty bus", true)
	restored := s.start(store("b"), there, alone)
	restored.due()
	restored.is(t, "another store in the same directory", true)
}

func TestStoreThatRemembersNothing(t *testing.T) {
	s, d := newStage(), store("a")
	d.full = true
	p := s.start(d, here)
	p.due()
	if p.err == nil || s.bus.claim != nil {
		t.Errorf("%v; the claim %+v was written before it was saved", p.err, s.bus.claim)
	}
}

func TestTokenIsLost(t *testing.T) {
	s := newStage()
	p := s.owner(t, store("a"), here)
	s.bus.token = 0 // the stream was purged
	s.pass(every, p)
	p.is(t, "with a new token", true)
	s.pass(2*ttl, p)
	p.is(t, "and later", true)
}

func TestCheck(t *testing.T) {
	s := newStage()
	p := s.owner(t, store("a"), here)
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
	s.start(store("b"), there, takeOver).due()
	var owned *ownership.NotOwnerError
	if err := p.Check(t.Context()); !errors.As(err, &owned) || p.Confirmed() {
		t.Errorf("%v, sure %t", err, p.Confirmed())
	}
	s.bus.wipe()
	if err := p.Check(t.Context()); err == nil {
		t.Error("Check returned no error although the bus has no claim")
	}
}

// TestOneIsSure checks that no two processes are confirmed owners at the same time on a bus without
// fencing, whatever processes, disks and the bus do. There is one exception: right after the bus
// has lost all data, a new store may write its claim before the owner does.
func TestOneIsSure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStage()
		disks := []*disk{store("a"), store("b")}
		var all []*process
		wiped := -time.Hour
		places := []place{here, there, {"", ""}}
		busyDisk := map[*disk]*process{}
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"pass", "pass", "start", "start", "kill", "stop", "away", "back", "wipe", "copy", "mute", "pause"}).Draw(t, "what") {
			case "pass":
			case "start":
				d := rapid.SampledFrom(disks).Draw(t, "disk")
				if old := busyDisk[d]; old != nil && !old.dead && old.err == nil {
					break // the file is locked
				}
				var change []func(*ownership.Config)
				if rapid.IntRange(0, 5).Draw(t, "take over") == 0 {
					change = append(change, takeOver)
				}
				at := rapid.SampledFrom(places).Draw(t, "place")
				if at.directory != "" {
					at.directory += fmt.Sprintf("%p", d) // a separate directory
				}
				p := s.start(d, at, change...)
				busyDisk[d] = p
				all = append(all, p)
			case "kill":
				if len(all) > 0 {
					rapid.SampledFrom(all).Draw(t, "process").dead = true
				}
			case "stop":
				if len(all) > 0 {
					p := rapid.SampledFrom(all).Draw(t, "process")
					if !p.dead {
						_ = p.Release(context.Background())
						p.dead = true
					}
				}
			case "away":
				s.bus.away = true
			case "mute":
				s.bus.mute = true
			case "back":
				s.bus.away, s.bus.mute = false, false
			case "wipe":
				s.bus.wipe()
				wiped = s.now
			case "copy":
				copied := *rapid.SampledFrom(disks).Draw(t, "disk")
				disks = append(disks, &copied)
			case "pause": // a process is suspended for a while
				if len(all) > 0 {
					rapid.SampledFrom(all).Draw(t, "process").next += rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, time.Minute}).Draw(t, "pause")
				}
			}
			for end := s.now + time.Duration(rapid.IntRange(0, 40).Draw(t, "for"))*time.Second/2; ; s.now += 250 * time.Millisecond {
				for _, p := range all {
					p.due()
				}
				var sure []string
				for _, p := range all {
					if !p.dead && p.err == nil && p.Confirmed() {
						sure = append(sure, fmt.Sprintf("%s (claim %d)", p.Status().Claim.Store, p.Number()))
					}
				}
				if len(sure) > 1 && s.now-wiped > ttl {
					t.Fatalf("at %s, %s after the bus was last wiped, several are confirmed: %v", s.now, s.now-wiped, sure)
				}
				if s.now >= end {
					break
				}
			}
		}
	})
}

// TestContestedClaimIsInherited checks that every next owner waits while a replaced owner may still
// send. The next owner may be the restart of a killed process, the next store after a release, or a
// process that did not receive the response to its write.
func TestContestedClaimIsInherited(t *testing.T) {
	next := map[string]func(s *stage, d *disk, taker *process) *process{
		"killed": func(s *stage, d *disk, taker *process) *process {
			taker.dead = true
			return s.start(d, there)
		},
		"released": func(s *stage, _ *disk, taker *process) *process {
			if err := taker.Release(context.Background()); err != nil {
				panic(err)
			}
			taker.dead = true
			return s.start(store("c"), there)
		},
	}
	for how, successor := range next {
		t.Run(how, func(t *testing.T) {
			s, d := newStage(), store("b")
			first := s.owner(t, store("a"), here) // does not run any more
			taker := s.start(d, there, takeOver)
			taker.due()
			p := successor(s, d, taker)
			p.due()
			p.is(t, "at once", false)
			first.is(t, "the first one, meanwhile,", true)
			s.pass(2*ttl+every, p)
			p.is(t, "after two TTLs", true)
			p.dead = true
			again := s.start(&disk{owned: s.disks[p].owned}, there)
			again.due()
			again.is(t, "its heir, after that,", true)
		})
	}
	t.Run("answer lost", func(t *testing.T) {
		s := newStage()
		first := s.owner(t, store("a"), here)
		taker := s.start(store("b"), there, takeOver)
		s.bus.muteWrites = true
		taker.due()
		s.bus.muteWrites = false
		s.pass(time.Second, taker)
		taker.is(t, "when it learns that it has the claim", false)
		first.is(t, "the first one", true)
	})
}

// TestLaterClaimOutdoesAnEarlierOne checks the case that the bus has lost all data and an owner
// that was replaced long ago writes its claim first. The later claim must still replace it, because
// participants accept only commands of the later claim.
func TestLaterClaimOutdoesAnEarlierOne(t *testing.T) {
	s := newStage()
	first := s.owner(t, store("a"), here) // does not run any more
	second := s.start(store("b"), there, takeOver)
	s.pass(2*ttl+every, second)
	second.is(t, "the second one", true)
	s.bus.wipe()
	first.next = s.now
	first.due()
	first.is(t, "the first one, which was quicker,", true)
	s.pass(every, second)
	second.is(t, "the second one, until the first has noticed,", false)
	s.pass(2*ttl+every, first, second)
	first.refused(t, true, "store b")
	second.is(t, "the second one", true)
}

// TestTakeOverOfOnesOwn checks that, if participants know a later claim than the bus, a restart
// with --take-over takes a still later claim without waiting.
func TestTakeOverOfOnesOwn(t *testing.T) {
	s, d := newStage(), store("a")
	first := s.owner(t, d, here)
	number := first.Number()
	first.dead = true
	again := s.start(d, here, takeOver)
	again.due()
	again.is(t, "at once", true)
	if again.Number() <= number {
		t.Errorf("claim number %d after %d", again.Number(), number)
	}
}
