//go:build !race

package boltstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestNameOfATableIsDamaged flips a bit in the name of each table. The error is damage, not that the
// file belongs to another program.
func TestNameOfATableIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	filled(t, path, Options{manual: true})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range tables {
		changed, found := bytes.Clone(data), false
		name := []byte(table(i).String())
		for at := bytes.Index(changed, name); at >= 0; at = bytes.Index(changed, name) {
			changed[at] ^= 0x40
			found = true
		}
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(path, testOptions(Options{manual: true})); !found || !errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) {
			t.Errorf("table %s: %v", name, err)
			if err == nil {
				s.abort()
			}
		}
	}
}
