package boltcheck_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/boltcheck"
)

const pageSize = 4096

// file returns a bbolt file that two transactions filled.
func file(t *testing.T, fill ...func(*bolt.Tx) error) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bolt.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	for _, fill := range fill {
		err = errors.Join(err, db.Update(fill))
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sample returns a file with branches, overflow pages, inline buckets and free pages.
func sample(t *testing.T) []byte {
	return file(t, func(tx *bolt.Tx) error {
		big, err := tx.CreateBucket([]byte("big"))
		for i := range 300 {
			err = errors.Join(err, big.Put(fmt.Appendf(nil, "key %03d", i), bytes.Repeat([]byte{byte(i)}, 100)))
		}
		inline, errInline := big.CreateBucket([]byte("inline"))
		return errors.Join(err, errInline, inline.Put([]byte("k"), []byte("v")),
			big.Put([]byte("long"), make([]byte, 3*pageSize)))
	}, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("big")).Delete([]byte("long"))
	}, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("big")).Put([]byte("longer"), make([]byte, 2*pageSize))
	})
}

// check returns the error of Check and what it reports.
func check(data []byte) (reported []string, err error) {
	roots := boltcheck.Roots(bytes.NewReader(data))
	if len(roots) == 0 {
		return nil, errors.New("no root")
	}
	err = roots[0].Check(bytes.NewReader(data), func(page uint64, err error) {
		reported = append(reported, fmt.Sprintf("page %d: %v", page, err))
	})
	return reported, err
}

// page returns the number of a page in use with these flags and more than one element.
func page(t *testing.T, data []byte, flags uint16) int {
	t.Helper()
	for n := range len(data) / pageSize {
		p, order := data[n*pageSize:], binary.NativeEndian
		if order.Uint64(p) != uint64(n) || order.Uint16(p[8:]) != flags || order.Uint16(p[10:]) < 2 {
			continue
		}
		changed := bytes.Clone(data)
		changed[n*pageSize] ^= 1
		if _, err := check(changed); err != nil { // a page that is not in use is not checked
			return n
		}
	}
	t.Fatalf("no such page has the flags %d", flags)
	return 0
}

func TestRoots(t *testing.T) {
	data := sample(t)
	roots := boltcheck.Roots(bytes.NewReader(data))
	if len(roots) != 2 || roots[0] == roots[1] || roots[0].Size() > int64(len(data)) || roots[0].Size()%pageSize != 0 {
		t.Fatalf("%+v of %d bytes", roots, len(data))
	}
	for n := range 2 {
		changed := bytes.Clone(data)
		changed[n*pageSize+40] ^= 1
		got := boltcheck.Roots(bytes.NewReader(changed))
		if len(got) != 1 || !slices.Contains(roots, got[0]) {
			t.Errorf("without root %d: %+v", n, got)
		}
		// With the roots in the other places, the newer one is still first.
		copy(changed[16:80], data[pageSize+16:])
		copy(changed[pageSize+16:pageSize+80], data[16:80])
		if got := boltcheck.Roots(bytes.NewReader(changed)); !slices.Equal(got, roots) {
			t.Errorf("exchanged: %+v, want %+v", got, roots)
		}
	}
	if got := boltcheck.Roots(strings.NewReader("no bbolt file")); got != nil {
		t.Errorf("of a text: %+v", got)
	}
}

// TestCheck checks that an intact file passes, and that each kind of damage is named.
func TestCheck(t *testing.T) {
	data := sample(t)
	if reported, err := check(data); err != nil || reported != nil {
		t.Fatalf("an intact file: %v, %v", err, reported)
	}
	leaf, branch, freelist := page(t, data, 2), page(t, data, 1), page(t, data, 16)
	order := binary.NativeEndian
	for want, damage := range map[string]func(b []byte){
		"the header of page":                   func(b []byte) { order.PutUint64(b[leaf*pageSize:], 7) },
		"is neither branch nor leaf":           func(b []byte) { order.PutUint16(b[leaf*pageSize+8:], 16) },
		"elements do not fit":                  func(b []byte) { order.PutUint16(b[leaf*pageSize+10:], 1000) },
		"a record is longer than the page":     func(b []byte) { order.PutUint32(b[leaf*pageSize+28:], 5000) },
		"element 0 does not point to its data": func(b []byte) { b[leaf*pageSize+10]-- },
		"points outside the page":              func(b []byte) { order.PutUint32(b[leaf*pageSize+20:], 9999) },
		"is outside the file":                  func(b []byte) { order.PutUint64(b[branch*pageSize+24:], 1<<40) },
		"is referenced twice":                  func(b []byte) { copy(b[branch*pageSize+40:], b[branch*pageSize+24:][:8]) },
		"its keys are damaged":                 func(b []byte) { order.PutUint32(b[branch*pageSize+20:], 0) },
		"is not a list of free pages":          func(b []byte) { order.PutUint16(b[freelist*pageSize+10:], 5000) },
		"is listed as free":                    func(b []byte) { order.PutUint64(b[freelist*pageSize+16:], uint64(leaf)) },
		"counts fewer than 2 pages": func(b []byte) {
			for n := range 2 {
				root := b[n*pageSize+16 : n*pageSize+80]
				order.PutUint64(root[40:], 1)
				h := fnv.New64a()
				h.Write(root[:56])
				order.PutUint64(root[56:], h.Sum64())
			}
		},
	} {
		changed := bytes.Clone(data)
		damage(changed)
		if _, err := check(changed); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	changed := bytes.Clone(data)
	changed[leaf*pageSize+16+16+4]++ // position of the second element
	reported, err := check(changed)
	if err != nil || len(reported) != 1 || !strings.Contains(reported[0], "does not point to its data") {
		t.Errorf("a wrong position: %v, reported %v", err, reported)
	}
}

// TestFullPages checks that a page that is full to its last byte passes.
func TestFullPages(t *testing.T) {
	key := []byte("k")
	for _, pages := range []int{1, 2, 5} {
		for off := -2; off <= 2; off++ {
			// A page's header and one element take 32 bytes.
			value := make([]byte, pages*pageSize-32-len(key)+off)
			data := file(t, func(tx *bolt.Tx) error {
				b, err := tx.CreateBucket([]byte("bucket"))
				return errors.Join(err, b.Put(key, value))
			})
			if reported, err := check(data); err != nil || reported != nil {
				t.Errorf("a record that ends %d bytes behind page %d: %v, %v", off, pages, err, reported)
			}
		}
	}
}
