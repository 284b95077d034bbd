package boltstore

import (
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestGroupFindsTheKeyItself checks that a group reads and deletes only the record with the given
// key, and never a neighbour.
func TestGroupFindsTheKeyItself(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "frames.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucket([]byte(tableSagas.name)); err != nil {
			return err
		}
		g := (&Store{}).newGroup(tx)
		want := func(key, want string) {
			t.Helper()
			body, err := g.get(tableSagas, []byte(key))
			if err != nil || string(body) != want {
				t.Errorf("under %s is %q, %v, want %q", key, body, err, want)
			}
		}
		want("b", "") // there is no record at all
		for _, key := range []string{"a", "c", "e"} {
			if err := g.put(tableSagas, []byte(key), []byte("of "+key)); err != nil {
				return err
			}
		}
		for _, absent := range []string{"0", "b", "d", "f"} {
			want(absent, "")
			if err := g.delete(tableSagas, []byte(absent)); err != nil {
				t.Errorf("delete %s, which is not there: %v", absent, err)
			}
		}
		want("a", "of a")
		want("c", "of c")
		want("e", "of e")
		if err := g.delete(tableSagas, []byte("c")); err != nil {
			return err
		}
		want("a", "of a")
		want("c", "")
		want("e", "of e")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
