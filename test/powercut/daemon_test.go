//go:build linux && lab

package powercut

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/lab/world"
)

// TestDaemonCuts cuts the power under the whole coordinator process, including its NATS server's
// streams. Every acknowledged saga ends, and each effect happens once.
func TestDaemonCuts(t *testing.T) {
	s := newSystem(t)
	rng := rngOf(*seed, "daemon")
	s.disk.order("seed", rng.Uint32())
	sum := tally{began: time.Now(), disks: 1}
	want := form(*cuts/30, 10, 2)
	s.start()
	s.await()
	s.connect()
	stop := s.call("daemon", 8)
	defer stop()
	for ; sum.cuts < want; sum.cuts++ {
		at := 1 + rng.IntN(1000)
		s.disk.order("arm", at)
		select {
		case <-s.disk.cuts:
		case <-time.After(world.Limit):
			t.Fatalf("no cut within %s; the coordinator says: %s", world.Limit, s.log.String())
		}
		s.child.kill()
		s.disk.order("unmount", "")
		s.disk.mount()
		if rng.IntN(3) == 0 {
			sum.early++
			s.start() // the next cut comes while it starts
			continue
		}
		s.start()
		if !s.await() {
			t.Fatal("the power went by itself")
		}
	}
	s.await()
	stop()
	s.finish()
	sum.acks, sum.sagas = s.acked(), s.acked()
	sum.log(t, "daemon")
}

// TestSecretOutlivesCut cuts the power when the secret file gets its name, which the disk keeps.
// The content of the file must be durable before the name; otherwise the next start is refused.
func TestSecretOutlivesCut(t *testing.T) {
	for n := range form(*cuts/1000, 4, 2) {
		s := newSystem(t)
		s.disk.order("seed", n)
		s.disk.order("snare", "secret")
		s.start()
		select {
		case <-s.disk.cuts:
		case <-time.After(world.Limit):
			t.Fatalf("no cut within %s; the coordinator says: %s", world.Limit, s.log.String())
		}
		s.child.kill()
		s.disk.order("unmount", "")
		s.disk.mount()
		if _, err := os.Stat(filepath.Join(s.disk.dir, "data", "secret")); err != nil {
			t.Fatalf("the test does not bite: %v", err)
		}
		s.start()
		s.await()
		s.child.kill()
	}
}

// TestFailedFsync checks that the first failed fsync ends the process with the right exit code and
// message text. What the process had acknowledged is there after a restart.
func TestFailedFsync(t *testing.T) {
	s := newSystem(t)
	rng := rngOf(*seed, "fsync")
	for round := range form(*cuts/100, 3, 1) {
		s.start()
		s.await()
		if round == 0 {
			s.connect()
		}
		stop := s.call("fsync-"+string(rune('a'+round)), 8)
		s.disk.order("break", 1+rng.IntN(60))
		s.fell("input/output error")
		stop()
		s.disk.unmount()
		s.disk.mount()
	}
	s.start()
	s.await()
	s.finish()
	t.Logf("seed %d: %d sagas acknowledged", *seed, s.acked())
}

// TestFullDisk checks that the readiness probe reports a disk that is filling up, and one that is full, and
// that nothing is lost then, also by a kill and a start on the full disk.
func TestFullDisk(t *testing.T) {
	s := newSystem(t)
	s.start()
	s.await()
	s.connect()
	s.disk.order("room", 1<<20)
	s.unready("make room")
	load := world.NewLoad(transferMoney)
	s.loads = append(s.loads, load)
	for n := 0; !s.isUnready("no saga can be started"); n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_ = load.Start(ctx, s.client, contract.SagaID(fmt.Sprintf("full-%d", n)), world.Transfer{To: 1, Amount: 1, Padding: strings.Repeat("x", 20_000)})
		cancel()
	}
	s.child.kill() // what only the log has must not be lost

	s.start() // without space it must do no harm
	s.child.kill()

	s.disk.order("room", -1)
	s.start()
	s.await()
	if err := s.loads[0].Start(t.Context(), s.client, "after", world.Transfer{To: 1, Amount: 1}); err != nil {
		t.Fatal(err)
	}
	s.finish()
	t.Logf("%d sagas acknowledged", s.acked())
}

// unready waits until the coordinator is not ready, with a reason, or until its process has ended, because
// its embedded NATS server does without room.
func (s *system) unready(reason string) {
	s.t.Helper()
	if err := world.Poll("the coordinator is not ready: "+reason, func() bool { return s.isUnready(reason) }); err != nil {
		s.t.Fatalf("%v; it says: %s", err, s.log.String())
	}
}

func (s *system) isUnready(reason string) bool {
	response, err := http.Get(s.http + "/readyz")
	if err != nil {
		return s.child.Gone()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(text), reason)
}

// TestSlowDisk checks that fsyncs of a sixth of a second only slow sagas down.
func TestSlowDisk(t *testing.T) {
	s := newSystem(t)
	s.start()
	s.await()
	s.connect()
	s.disk.order("slow", 160)
	stop := s.call("slow", 8)
	<-time.After(time.Second) // let the load run
	stop()
	s.finish()
}

// fell waits for the end of the coordinator's process. Its log must say that the store failed, why,
// and what to do.
func (s *system) fell(why string) {
	s.t.Helper()
	if code := s.child.exit(); code != cli.ExitStoreBroken {
		s.t.Errorf("exit code %d, want %d (the store failed)", code, cli.ExitStoreBroken)
	}
	for _, want := range []string{"the store failed and takes no more commits", why, "check the disk's space and health"} {
		if !strings.Contains(s.log.String(), want) {
			s.t.Errorf("the process does not say %q as it ends, but: %s", want, s.log.String())
		}
	}
}
