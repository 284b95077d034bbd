package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestVerifyNamesTheSagaThatKeepsTheLog damages a saga in a state whose log has a change of it, as a crash and
// a failing disk leave them.
func TestVerifyNamesTheSagaThatKeepsTheLog(t *testing.T) {
	const id = "order-7"
	from, dir := t.TempDir(), t.TempDir()
	s, err := boltstore.Open(filepath.Join(from, server.StoreFile), boltstore.Options{CheckpointAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	change := storetest.Start(id, storetest.Checkout, storetest.Epoch)
	for range 2 {
		results, err := s.Commit(t.Context(), []store.Change{change})
		if err = errors.Join(append(results, err)...); err != nil {
			t.Fatal(err)
		}
		if change.Expected == 0 {
			if err := s.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		change = storetest.Next(change.Instance, storetest.Epoch.Add(time.Hour))
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, server.StoreFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const frame = 9 // format and checksums, before the head
	head := []byte(id + "\x00h")
	for at := 0; ; { // also on pages that are not used any more
		found := bytes.Index(data[at:], head)
		if found < 0 {
			break
		}
		at += found + len(head)
		data[at+frame] ^= 1
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := Run(t.Context(), []string{"verify", "--data-dir", dir}, strings.NewReader(""), &out, &errs)
	if want := "because saga order-7 is damaged"; code != ExitStoreBroken || !strings.Contains(out.String(), want) {
		t.Errorf("exit code %d, output %s, errors %s; want %d, and %q", code, &out, &errs, ExitStoreBroken, want)
	}
}
