//go:build !race

package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/store/storetest"
)

// TestCopy copies a store with everything that stores hold, seals it, changes its keys, and unseals it.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sagas.db")
	filled(t, path, Options{manual: true})
	from := reopened(t, path, Options{manual: true})
	large := storetest.Start("order-large", storetest.Checkout, storetest.Epoch)
	large.Instance.Input = make([]byte, 5000)
	large.Events[0].Payload, large.Enqueue[0].Envelope.Data = large.Instance.Input, large.Instance.Input
	accept(t, from, large)
	if removed, _, err := from.Expire(t.Context(), storetest.Epoch.Add(time.Hour), time.Time{}, 1); err != nil || removed != 1 {
		t.Fatalf("Expire: %d, %v", removed, err)
	}
	definition, err := storetest.Definition("checkout", 1, "")
	if err == nil {
		err = errors.Join(from.PutDefinition(t.Context(), definition), from.SaveClaim(t.Context(), ownership.SavedClaim{Number: 7}))
	}
	if err != nil {
		t.Fatal(err)
	}
	ids := []contract.SagaID{"order-00", "order-01", "order-04", "order-05", "order-11", "order-large"}
	want := contentsOf(t, from, ids, storetest.Epoch)
	first, second := newKeys(t), newKeys(t)
	for i, keys := range []*seal.Keys{first, second, nil} {
		path := filepath.Join(dir, string(rune('a'+i)), "sagas.db")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := from.Copy(t.Context(), path, CopyOptions{Keys: keys}); err != nil {
			t.Fatal(err)
		}
		from.abort()
		from = reopened(t, path, Options{manual: true, Keys: keys})
		if diff := cmp.Diff(want, contentsOf(t, from, ids, storetest.Epoch), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("copy %d (-before +after):\n%s", i, diff)
		}
		claim, err := from.LoadClaim(t.Context())
		definitions, wrong := from.Definitions(t.Context())
		if err := errors.Join(err, wrong, from.Verify(t.Context())); err != nil || claim.Number != 7 || len(definitions) != 1 {
			t.Errorf("claim %+v, definitions %v, %v", claim, definitions, err)
		}
		if err := from.Copy(t.Context(), path, CopyOptions{}); !errors.Is(err, os.ErrExist) {
			t.Errorf("Copy to a store: %v", err)
		}
	}
	from.abort()
}
