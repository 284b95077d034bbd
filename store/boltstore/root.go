package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
)

// root holds the content of a bbolt root ("meta") page: the positions of the tree and the freelist,
// the number of pages in the file, and the id of the transaction that wrote it.
type root struct {
	bucket, freelist, pages, txid uint64
}

// bbolt writes a root page in the byte order of the machine: a page header of 16 bytes; magic,
// version, page size and flags (4 bytes each); the root bucket (16); the freelist, the number of
// pages, the transaction, and the FNV-1a checksum of all bytes from the magic on (8 each).
const (
	rootMagic  = 0xED0CDAED
	rootHeader = 16
	rootSize   = 64
)

// readRoots returns the readable root pages, and the page size.
func readRoots(f io.ReaderAt) (roots []root, pageSize uint32) {
	first, pageSize, ok := readRoot(f, 0)
	if !ok {
		// The page size is unknown: try every possible one.
		for size := uint32(1 << 10); size <= 1<<16; size <<= 1 {
			if second, declared, ok := readRoot(f, int64(size)); ok && declared == size {
				return []root{second}, size
			}
		}
		return nil, 0
	}
	roots = append(roots, first)
	if second, declared, ok := readRoot(f, int64(pageSize)); ok && declared == pageSize {
		roots = append(roots, second)
	}
	return roots, pageSize
}

func readRoot(f io.ReaderAt, offset int64) (r root, pageSize uint32, ok bool) {
	var page [rootHeader + rootSize]byte
	if _, err := f.ReadAt(page[:], offset); err != nil {
		return root{}, 0, false
	}
	b, order := page[rootHeader:], binary.NativeEndian
	h := fnv.New64a()
	h.Write(b[:rootSize-8])
	if order.Uint32(b) != rootMagic || order.Uint64(b[rootSize-8:]) != h.Sum64() {
		return root{}, 0, false
	}
	r = root{
		bucket: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		pages: order.Uint64(b[40:]), txid: order.Uint64(b[48:]),
	}
	return r, order.Uint32(b[8:]), true
}

// syncDir makes the name of a new or renamed file durable.
func syncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
