//go:build !race

package boltstore

import (
	"testing"

	"github.com/amends-dev/amends/store/seal"
)

// The race detector finds nothing in these that it does not find in TestLaw, and takes minutes.

// TestLawOfTheOverlay never writes a checkpoint.
func TestLawOfTheOverlay(t *testing.T) { law(t, Options{manual: true}, nil) }

// TestLawOfPieces writes, before any record, a whole checkpoint, or some of the pieces of one that is
// then interrupted. So every read meets sagas in bbolt, in the overlay, and in both.
func TestLawOfPieces(t *testing.T) { law(t, Options{manual: true, pieceSagas: 1}, (*Store).pieces) }

// TestLawOfSealedStores has keys.
func TestLawOfSealedStores(t *testing.T) { law(t, Options{Keys: newKeys(t)}, nil) }

func newKeys(t testing.TB) *seal.Keys {
	t.Helper()
	line, err := seal.NewKey("k1")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.ParseKeys([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
