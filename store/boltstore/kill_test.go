package boltstore

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
	"github.com/amends-dev/amends/store/storetest"
)

// killOptions make checkpoints so frequent that kills meet them too.
var killOptions = Options{CheckpointSize: 128 << 10, pieceSagas: 8, MinFree: -1}

// victim runs in the child process of TestKill: eight writers change sagas and print the confirmed
// revisions until the process is killed.
func victim(path, round string) error {
	s, err := Open(path, killOptions)
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
					fmt.Printf("%s %d %d\n", c.Instance.ID, c.Instance.Revision, s.Stats().Checkpoints)
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

// TestKill kills a process again and again during commits and checkpoints, and checks that every confirmed
// revision is still there.
func TestKill(t *testing.T) {
	if round := os.Getenv("BOLTSTORE_ROUND"); round != "" {
		if err := victim("sagas.db", round); err != nil { // in its working directory
			t.Fatal(err)
		}
		return
	}
	kills(t, 2)
}

func kills(t *testing.T, rounds int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sagas.db")
	acknowledged, checkpoints := map[contract.SagaID]uint64{}, 0
	for round := range rounds {
		checkpoints += killOne(t, path, round, acknowledged)
		if _, err := Verify(t.Context(), path, killOptions); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		s, err := Open(path, killOptions)
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
		s.abort()
	}
	if checkpoints < rounds {
		t.Errorf("only %d checkpoints were written before %d kills", checkpoints, rounds)
	}
}

// killOne starts a child, kills it after some commits, and records the revisions that it printed. It returns
// the number of checkpoints that the child had written since it was opened.
func killOne(t *testing.T, path string, round int, acknowledged map[contract.SagaID]uint64) (checkpoints int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKill$", "-test.v=false")
	child.Dir = filepath.Dir(path)
	child.Env = append(os.Environ(), "BOLTSTORE_ROUND="+strconv.Itoa(round))
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
		if n == 400+round*77 {
			_ = child.Process.Kill() // revisions still in the pipe were confirmed too
		}
		var id contract.SagaID
		var revision uint64
		var written int
		if _, err := fmt.Sscan(lines.Text(), &id, &revision, &written); err != nil || strings.Count(lines.Text(), " ") != 2 {
			continue // the kill truncated the last line
		}
		acknowledged[id], checkpoints = revision, max(checkpoints, written-1)
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	return checkpoints
}
