//go:build linux && lab

package powercut

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/amends-dev/amends/store/boltstore"
)

// notes is a ledger to which several workers write.
type notes struct {
	t  *testing.T
	mu sync.Mutex
	*ledger
}

// WriteString records what a worker prints.
func (n *notes) WriteString(lines string) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if lines != "" {
		n.hear(n.t, strings.Split(strings.TrimSuffix(lines, "\n"), "\n"))
	}
	return len(lines), nil
}

func (n *notes) copy() *ledger {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &ledger{promises: maps.Clone(n.promises), acks: n.acks}
}

// TestBackupUnderLoad checks a backup that is taken while sagas change. The restored store holds
// everything that was acknowledged before the backup began, and each saga is complete.
func TestBackupUnderLoad(t *testing.T) {
	s, err := boltstore.Open(filepath.Join(t.TempDir(), storeFile), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.PutDefinition(t.Context(), storedTrip()); err != nil {
		t.Fatal(err)
	}
	heard := &notes{t: t, ledger: newLedger()}
	var load sync.WaitGroup
	for n := range workers {
		w := &worker{store: s, name: "backup-" + strconv.Itoa(n), rng: rngOf(*seed, "backup"+strconv.Itoa(n)), say: heard}
		load.Go(func() {
			if err := w.run(t.Context(), 100); err != nil {
				t.Error(err)
			}
		})
	}
	var last bytes.Buffer
	for n := range 6 {
		before := heard.copy()
		last.Reset()
		if _, err := s.Backup(t.Context(), &last); err != nil {
			t.Fatal(err)
		}
		if n == 5 {
			load.Wait()
		}
		dir := t.TempDir()
		if err := boltstore.Restore(t.Context(), bytes.NewReader(last.Bytes()), filepath.Join(dir, storeFile), boltstore.RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		// Changes between the two snapshots may or may not be in the backup.
		if err := before.auditFile(t.Context(), dir); err != nil {
			t.Errorf("backup %d: %v", n, err)
		}
	}
	load.Wait()
	t.Logf("seed %d: 6 backups of %d bytes and less while %d states of %d sagas were acknowledged", *seed, last.Len(), heard.acks, len(heard.promises))
	refuseDamaged(t, last.Bytes())
}

// refuseDamaged checks that neither a partial nor an altered backup becomes a store.
func refuseDamaged(t *testing.T, backup []byte) {
	t.Helper()
	rng := rngOf(*seed, "damaged backup")
	path := filepath.Join(t.TempDir(), storeFile)
	for range form(*flips/10, 100, 20) {
		at := rng.IntN(len(backup))
		changed := bytes.Clone(backup)
		changed[at] ^= 1 << rng.IntN(8)
		for what, data := range map[string][]byte{"cut off": backup[:at], "changed": changed} {
			err := boltstore.Restore(t.Context(), bytes.NewReader(data), path, boltstore.RestoreOptions{})
			if !errors.Is(err, boltstore.ErrBackup) {
				t.Errorf("seed %d: a backup %s at byte %d: %v, want ErrBackup", *seed, what, at, err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("seed %d: a backup %s at byte %d left a store", *seed, what, at)
			}
		}
	}
}

// TestBackupOutlivesCut checks that a backup or restore is on disk once its command has reported
// success, including the file name.
func TestBackupOutlivesCut(t *testing.T) {
	d := newDisk(t)
	d.mount()
	for n := range 6 { // half of the data that is not durable survives a cut by chance
		d.order("seed", n)
		dir := filepath.Join(d.dir, strconv.Itoa(n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		heard := newLedger()
		var complaints bytes.Buffer
		load := start(t, &complaints, roleEnv+"=load", dirEnv+"="+dir, seedEnv+"=1")
		heard.hear(t, load.listen(t, 50, &complaints))
		heard.hear(t, load.kill())
		for _, args := range [][]string{
			{"backup", "--data-dir", dir, filepath.Join(dir, "copy")},
			{"restore", "--data-dir", filepath.Join(dir, "again"), filepath.Join(dir, "copy")},
		} {
			if code := start(t, &complaints, roleEnv+"=coordinator", argsEnv+"="+strings.Join(args, "\n")).exit(); code != 0 {
				t.Fatalf("%q: exit code %d: %s", args, code, complaints.String())
			}
			d.unmount()
			d.mount()
			if _, err := os.Stat(filepath.Join(dir, "copy")); err != nil {
				t.Fatalf("seed %d: the backup is gone after a power cut: %v", n, err)
			}
		}
		if err := heard.auditFile(t.Context(), filepath.Join(dir, "again")); err != nil {
			t.Errorf("seed %d: the restored store: %v", n, err)
		}
	}
	d.unmount()
}
