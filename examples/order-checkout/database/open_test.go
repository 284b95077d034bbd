package database

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const schema = `CREATE TABLE IF NOT EXISTS note (text TEXT NOT NULL) STRICT`

func notes(t *testing.T, path string) []string {
	t.Helper()
	db, err := OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`INSERT INTO note VALUES ('forged')`); err == nil {
		t.Fatal("a database that was opened for reading was written to")
	}
	all, err := All(t.Context(), db, `SELECT text FROM note ORDER BY rowid`, func(s *string) []any { return []any{s} })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestReadOnly reads while a writer has the file open and the last commit is only in the WAL, and
// later in a read-only directory.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	db, err := Open(t.Context(), path, schema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO note VALUES ('one')`); err != nil {
		t.Fatal(err)
	}
	if got := notes(t, path); len(got) != 1 {
		t.Errorf("beside the writer: %v", got)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	if got := notes(t, path); len(got) != 1 {
		t.Errorf("after the writer: %v", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("reading left something behind: %v", entries)
	}
}

func TestOpenSaysWhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing.db")
	if _, err := OpenReadOnly(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReadOnly(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("damaged file: %v", err)
	}
	if _, err := Open(t.Context(), path, schema); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("damaged file: %v", err)
	}
}
