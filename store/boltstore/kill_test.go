package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// victim runs in the child process of TestKill: eight writers change sagas and print the confirmed
// revisions until the process is killed.
func victim(path, round string) error {
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				c := storetest.Start(contract.SagaID(fmt.Sprintf("r%s-w%d-%05d", round, w, i)), storetest.Checkout, storetest.Epoch)
				for {
					results, err := s.Commit(context.Background(), []store.Change{c})
					if err != nil || results[0] != nil {
						panic(fmt.Sprint(results, err))
					}
					mu.Lock()
					fmt.Printf("%s %d\n", c.Instance.ID, c.Instance.Revision)
					mu.Unlock()
					if !c.Instance.Open() {
						break
					}
					c = storetest.Next(c.Instance, c.Instance.Updated.Add(time.Second))
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKill repeatedly kills a process during commits, and checks that every confirmed revision is
// still there.
func TestKill(t *testing.T) {
	if path := os.Getenv("BOLTSTORE_VICTIM"); path != "" {
		if err := victim(path, os.Getenv("BOLTSTORE_ROUND")); err != nil {
			t.Fatal(err)
		}
		return
	}
	kills(t, 2)
}

func kills(t *testing.T, rounds int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	acknowledged := map[contract.SagaID]uint64{}
	for round := range rounds {
		killOne(t, path, round, acknowledged)
		s, err := boltstore.Open(path, boltstore.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for id, revision := range acknowledged {
			in, err := s.Load(t.Context(), id)
			if err != nil || in.Revision < revision || in.Revision > revision+1 {
				t.Fatalf("round %d: saga %s was acknowledged at revision %d, is %+v, %v", round, id, revision, in, err)
			}
		}
		if err := s.Verify(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d sagas acknowledged, none lost", rounds, len(acknowledged))
}

// killOne starts a child, kills it after some commits and records the revisions that it printed.
func killOne(t *testing.T, path string, round int, acknowledged map[contract.SagaID]uint64) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKill$", "-test.v=false")
	child.Env = append(os.Environ(), "BOLTSTORE_VICTIM="+path, "BOLTSTORE_ROUND="+strconv.Itoa(round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == 200+round*77 {
			_ = child.Process.Kill() // revisions still in the pipe were confirmed too
		}
		id, revision, ok := strings.Cut(lines.Text(), " ")
		number, err := strconv.ParseUint(revision, 10, 64)
		if !ok || err != nil {
			continue // the kill truncated the last line
		}
		acknowledged[contract.SagaID(id)] = number
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
}
