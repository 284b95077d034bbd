package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/ownership"
)

// bus is an in-memory registry whose failures a test controls.
type bus struct {
	claim         *ownership.Claim
	sequence      uint64
	at            uint64 // sequence of claim
	token, pulse  uint64
	away          bool
	fences        bool
	mute          bool // executes requests, but loses the responses
	muteWrites    bool // the same, but only for writes of claims
	confirmations int
}

var errAway = errors.New("away")

func (b *bus) Fences() bool { return b.fences }

func (b *bus) ConfirmNow() <-chan struct{} { return nil }

func (b *bus) answer(err error) error {
	if b.mute {
		return errAway
	}
	return err
}

func (b *bus) Read(context.Context) (e ownership.Entry, err error) {
	if b.away || b.mute {
		return e, errAway
	}
	if b.claim != nil {
		c := *b.claim
		e.Claim, e.At.Sequence = &c, b.at
	}
	e.Pulse = b.pulse
	return e, nil
}

func (b *bus) Write(_ context.Context, c *ownership.Claim, over ownership.Position) (at ownership.Position, err error) {
	if b.away {
		return at, errAway
	}
	if over.Sequence != b.at {
		return at, b.answer(ownership.ErrChanged)
	}
	copied := *c
	b.claim, b.at, b.token = &copied, b.sequence+1, b.sequence+2
	b.sequence += 2
	if b.muteWrites {
		return at, errAway
	}
	return ownership.Position{Sequence: b.at, Token: b.token}, b.answer(nil)
}

func (b *bus) Confirm(_ context.Context, at ownership.Position) error {
	switch {
	case b.away:
		return errAway
	case at.Token != b.token:
		return b.answer(ownership.ErrChanged)
	}
	b.sequence++
	b.pulse = b.sequence
	b.confirmations++
	return b.answer(nil)
}

// wipe loses all data and starts a new sequence.
func (b *bus) wipe() {
	*b = bus{fences: b.fences, away: b.away, mute: b.mute, sequence: 1_000_000 * (b.sequence/1_000_000 + 1)}
}

// disk holds the claim that a store has saved.
type disk struct {
	owned ownership.SavedClaim
	full  bool
}

func (d *disk) LoadClaim(context.Context) (ownership.SavedClaim, error) { return d.owned, nil }

func (d *disk) SaveClaim(_ context.Context, o ownership.SavedClaim) error {
	if d.full {
		return errors.New("disk full")
	}
	d.owned = o
	return nil
}

// stage holds a bus, its stores and the clock of a test.
type stage struct {
	now   time.Duration
	bus   *bus
	runs  int
	disks map[*process]*disk
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type process struct {
	*ownership.Keeper
	s    *stage
	next time.Duration
	err  error
	dead bool
}

// place identifies a machine and a directory on it.
type place struct{ boot, directory string }

func (s *stage) start(d *disk, at place, change ...func(*ownership.Config)) *process {
	s.runs++
	c := ownership.Config{
		Registry: s.bus, Store: d,
		Me:    ownership.Claim{Prefix: "saga", Incarnation: fmt.Sprint("run-", s.runs), Host: at.boot, Boot: at.boot, File: at.directory},
		Clock: func() time.Duration { return s.now }, Now: func() time.Time { return epoch.Add(s.now) },
	}
	for _, f := range change {
		f(&c)
	}
	p := &process{Keeper: ownership.New(c), s: s, next: s.now}
	s.disks[p] = d
	return p
}

func takeOver(c *ownership.Config) { c.TakeOver = true }

func alone(c *ownership.Config) { c.Exclusive = true }

// due calls Step if it is due.
func (p *process) due() {
	if p.dead || p.err != nil || p.s.now < p.next {
		return
	}
	again, err := p.Step(context.Background())
	p.err, p.next = err, p.s.now+again
}

// pass advances the time and steps the processes.
func (s *stage) pass(d time.Duration, all ...*process) {
	for end := s.now + d; ; s.now += 250 * time.Millisecond {
		for _, p := range all {
			p.due()
		}
		if s.now >= end {
			return
		}
	}
}

func newStage() *stage { return &stage{bus: &bus{}, disks: map[*process]*disk{}} }

func store(name string) *disk { return &disk{owned: ownership.SavedClaim{Store: name}} }

var here, there = place{"m1", "8:1"}, place{"m2", "8:2"}

// owner starts a store and makes it the owner of the prefix.
func (s *stage) owner(t *testing.T, d *disk, at place) *process {
	t.Helper()
	p := s.start(d, at)
	s.pass(every, p)
	if p.err != nil || !p.Confirmed() {
		t.Fatalf("the first store is not the owner: %v", p.err)
	}
	return p
}

func (p *process) is(t *testing.T, what string, sure bool) {
	t.Helper()
	if p.err != nil || p.Confirmed() != sure {
		t.Errorf("%s: confirmed %t (%v), want %t", what, p.Confirmed(), p.err, sure)
	}
}

// refused checks that the process has ended with a NotOwnerError whose text contains words.
func (p *process) refused(t *testing.T, replaced bool, words ...string) {
	t.Helper()
	var owned *ownership.NotOwnerError
	if !errors.As(p.err, &owned) || owned.Replaced != replaced || p.Confirmed() {
		t.Errorf("error %v, confirmed %t; want a NotOwnerError, replaced %t", p.err, p.Confirmed(), replaced)
		return
	}
	for _, word := range words {
		if !strings.Contains(p.err.Error(), word) {
			t.Errorf("%q does not say %q", p.err, word)
		}
	}
}
