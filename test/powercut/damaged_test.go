//go:build linux && lab

package powercut

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/corrupttest"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

// lonely retries a command to a participant that does not exist.
var lonely = saga.MustDefine[world.Transfer]("lonely", saga.Timeout(500*time.Millisecond), saga.Retry(10_000, 100*time.Millisecond, 500*time.Millisecond),
	saga.Retriable("call", saga.Do(contract.NewCommand[world.Transfer, string]("nobody", "call"))))

// TestDamagedSaga checks that a running coordinator reports a saga with a damaged record, in its
// answers and in its log, and that the other sagas continue.
func TestDamagedSaga(t *testing.T) {
	s := newSystem(t)
	s.start()
	s.await()
	s.connect()
	ctx, cancel := context.WithTimeout(t.Context(), world.Limit)
	defer cancel()
	if _, err := s.client.Register(ctx, lonely); err != nil {
		t.Fatal(err)
	}
	const sick, well = contract.SagaID("the-sick-one"), contract.SagaID("the-well-one")
	begin := func(id contract.SagaID) error {
		_, err := s.client.Start(ctx, lonely, world.Transfer{}, client.ID(id))
		return err
	}
	if err := errors.Join(begin(sick), begin(well)); err != nil {
		t.Fatal(err)
	}
	s.child.kill()
	if err := corrupttest.Saga(ctx, filepath.Join(s.disk.dir, "data", server.StoreFile), sick, well); err != nil {
		t.Fatal(err)
	}
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
	stop := s.call("beside", 2)
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
	s.loads[0].Finish(s.client)
	if n := s.loads[0].UnderWay(); n > 0 || s.acked() == 0 {
		t.Errorf("%d of %d sagas beside the damaged one have not ended", n, s.acked())
	}
	alarms := 0
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "level=ERROR") && strings.Contains(line, "its record is damaged") && strings.Contains(line, string(sick)) {
			alarms++
		}
	}
	if alarms != 1 { // one alarm, not one per check of the timers
		t.Errorf("%d alarms about the damaged saga, want one: %s", alarms, s.log.String())
	}
	s.child.kill()
}
