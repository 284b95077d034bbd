//go:build linux

package powercut

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/daemon"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

// lonely waits for somebody who is not there, attempt after attempt.
var lonely = saga.MustDefine[journey]("lonely", saga.Timeout(500*time.Millisecond), saga.Retry(10_000, 100*time.Millisecond, 500*time.Millisecond),
	saga.Retriable("call", saga.Do(contract.NewCommand[journey, string]("nobody", "call"))))

// TestDamagedSaga: a running coordinator says of a saga whose record is damaged
// that it is, to whoever asks and in its log, and the others go on.
func TestDamagedSaga(t *testing.T) {
	s := newSystem(t)
	s.start()
	s.await()
	s.connect()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := s.client.Register(ctx, lonely); err != nil {
		t.Fatal(err)
	}
	const sick, well = contract.SagaID("the-sick-one"), contract.SagaID("the-well-one")
	begin := func(id contract.SagaID) error {
		_, err := s.client.Start(ctx, lonely, journey{To: string(id)}, client.ID(id))
		return err
	}
	if err := errors.Join(begin(sick), begin(well)); err != nil {
		t.Fatal(err)
	}
	s.child.kill()
	damage(t, filepath.Join(s.disk.dir, "data", daemon.StoreFile), sick, well)
	s.start()
	s.await()

	if err := begin(sick); err == nil || !strings.Contains(err.Error(), "damaged record") {
		t.Errorf("start of the damaged saga again: %v", err)
	}
	if _, err := s.client.Get(ctx, sick); err == nil || !strings.Contains(err.Error(), "damaged record") {
		t.Errorf("status of the damaged saga: %v", err)
	}
	before, err := s.client.Get(ctx, well)
	if err != nil {
		t.Fatal(err)
	}
	stop := s.call(ctx, "beside", 2)
	for tick := time.NewTicker(20 * time.Millisecond); ; { // several timeouts of both sagas
		<-tick.C
		now, err := s.client.Get(ctx, well)
		if err != nil {
			t.Fatal(err)
		}
		if now.Revision >= before.Revision+4 {
			tick.Stop()
			break
		}
	}
	stop()
	s.settle()
	alarms := 0
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "level=ERROR") && strings.Contains(line, "its record is damaged") && strings.Contains(line, string(sick)) {
			alarms++
		}
	}
	if alarms < 2 || alarms > 10 { // the start, the timer; not one for every look at the timers
		t.Errorf("%d alarms about the damaged saga, want a few: %s", alarms, s.log.String())
	}
	s.child.kill()
}

// damage flips a bit in the state of one saga, and in nothing of the other.
func damage(t *testing.T, path string, sick, well saga.ID) {
	t.Helper()
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; ; at++ {
		found := bytes.Index(sound[at:], []byte(sick))
		if found < 0 {
			t.Fatal("the saga's state is not found in the file")
		}
		at += found
		data := bytes.Clone(sound)
		data[at+len(sick)+12] ^= 4 // behind key and checksums
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := boltstore.Open(path, boltstore.Options{MapSize: 1})
		if err != nil {
			continue
		}
		_, sickErr := s.Load(t.Context(), sick)
		_, wellErr := s.Load(t.Context(), well)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if errors.Is(sickErr, store.ErrCorrupt) && wellErr == nil {
			return
		}
	}
}
