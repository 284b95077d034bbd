package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/amends-dev/amends/store"
)

// FuzzCursor checks that a cursor is either refused with ErrCursor or is exactly the one that the
// filter encodes for its position, and that a different filter refuses it.
func FuzzCursor(f *testing.F) {
	filter, other := store.Filter{Definition: "checkout"}, store.Filter{Definition: "refund"}
	f.Add(filter.Cursor(store.Position{Started: time.Unix(1, 0), ID: "order-1"}))
	f.Add(other.Cursor(store.Position{Started: time.Unix(1, 0), ID: "order-1"}))
	broken := filter.Cursor(store.Position{Started: time.Unix(1, 0), ID: "order-1"})
	f.Add(broken[:8] + "\r\n" + broken[8:])
	f.Add("AQ")
	f.Add("AQAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		position, err := filter.Position(cursor)
		if err != nil {
			if !errors.Is(err, store.ErrCursor) || len(err.Error()) > 300 {
				t.Errorf("refused with %v", err)
			}
		} else {
			if again := filter.Cursor(position); again != cursor {
				t.Errorf("%q is taken for %q", cursor, again)
			}
			if _, err := other.Position(cursor); err == nil {
				t.Errorf("%q is taken by two filters", cursor)
			}
		}
		// Any position must be decoded if unchanged, and refused if one byte is changed.
		if id := "s-" + cursor; len(id) < 100 {
			p := store.Position{Started: time.Unix(0, int64(len(cursor))).UTC(), ID: "order-1"}
			made := []byte(filter.Cursor(p))
			if back, err := filter.Position(string(made)); err != nil || back != p {
				t.Errorf("%v reads back as %v, %v", p, back, err)
			}
			made[len(cursor)%len(made)] ^= 1
			if back, err := filter.Position(string(made)); err == nil {
				t.Errorf("a changed cursor is read as %v", back)
			}
		}
	})
}
