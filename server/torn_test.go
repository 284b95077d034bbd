package server_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/storetest"
)

// TestTornRecordIsLogged starts a server on a store whose last record was not written completely.
func TestTornRecordIsLogged(t *testing.T) {
	from := filepath.Join(t.TempDir(), server.StoreFile)
	s, err := boltstore.Open(from, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	change := storetest.Start("order-1", storetest.Checkout, storetest.Epoch)
	if results, err := s.Commit(t.Context(), []store.Change{change}); err != nil || results[0] != nil {
		t.Fatal(results, err)
	}
	c := server.Config{DataDir: filepath.Join(t.TempDir(), "data"), Definitions: []*saga.Definition{checkout()}}
	if err := os.CopyFS(c.DataDir, os.DirFS(filepath.Dir(from))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tear(t, filepath.Join(c.DataDir, server.StoreFile+".log"))
	var lines bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	d := start(t, c)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(lines.String(), "an incomplete record at the end of the log was discarded") {
		t.Errorf("the log of the server:\n%s", lines.String())
	}
}

// tear overwrites the last bytes of the only record in the directory of a log.
func tear(t *testing.T, dir string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	const header = 96 // of a segment
	for _, path := range segments {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if end := len(bytes.TrimRight(content, "\x00")); end > header {
			clear(content[end-8 : end])
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
