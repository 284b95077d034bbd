//go:build !race

package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/storetest"
)

// TestVerify verifies a closed store, whole and damaged, and checks that nothing is changed.
func TestVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sagas.db")
	filled(t, path, Options{manual: true})
	s := reopened(t, path, Options{manual: true})
	for _, id := range []string{"more-1", "more-2", "more-3"} {
		accept(t, s, storetest.Start(contract.SagaID("order-x-"+id), storetest.Checkout, storetest.Epoch))
	}
	if _, err := Verify(t.Context(), path, testOptions(Options{LockTimeout: time.Millisecond})); !errors.Is(err, ErrLocked) {
		t.Errorf("of a store in use: %v", err)
	}
	s.abort()
	before := filesIn(t, path)
	v, err := Verify(t.Context(), path, testOptions(Options{}))
	if err != nil || v.Records != 3 || v.Torn != 0 {
		t.Errorf("%+v, %v; want 3 records", v, err)
	}
	if filesIn(t, path) != before {
		t.Error("Verify has changed the files")
	}
	segments, err := filepath.Glob(path + ".log/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range segments { // a record in the middle
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(data), "order-x-more-2"); at >= 0 {
			data[at] ^= 1
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Verify(t.Context(), path, testOptions(Options{})); !errors.Is(err, log.ErrDamaged) {
		t.Errorf("with a damaged record: %v", err)
	}
	if err := os.RemoveAll(path + ".log"); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), path, testOptions(Options{})); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "newest commits") {
		t.Errorf("without a log: %v", err)
	}
}

// filesIn returns the content of all files of a store.
func filesIn(t testing.TB, path string) string {
	t.Helper()
	names, err := filepath.Glob(path + ".log/*")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range append(names, path) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(name)
		all.Write(data)
	}
	return all.String()
}
