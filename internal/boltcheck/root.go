package boltcheck

import (
	"encoding/binary"
	"hash/fnv"
	"io"
)

// Root is the content of a bbolt root ("meta") page: the positions of the tree and the freelist, the
// number of pages in the file, and the id of the transaction that wrote it.
type Root struct {
	pageSize                      uint32 // in bytes
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

// Roots returns the readable root pages, the newest first: two of an intact file, one if the other
// is damaged, and none if the file is not a bbolt file or both are damaged.
//
// A commit replaces the older root page by writing a single sector, so a power cut leaves both pages
// readable. If one is damaged, the newest commit may be lost silently.
func Roots(f io.ReaderAt) []Root {
	first, ok := readRoot(f, 0)
	if !ok {
		// The page size is unknown: try every possible one.
		for size := uint32(1 << 10); size <= 1<<16; size <<= 1 {
			if second, ok := readRoot(f, int64(size)); ok && second.pageSize == size {
				return []Root{second}
			}
		}
		return nil
	}
	second, ok := readRoot(f, int64(first.pageSize))
	switch {
	case !ok || second.pageSize != first.pageSize:
		return []Root{first}
	case second.txid > first.txid:
		return []Root{second, first}
	}
	return []Root{first, second}
}

// Size returns the size that the file must have at least, in bytes.
func (r *Root) Size() int64 { return int64(r.pages) * int64(r.pageSize) }

func readRoot(f io.ReaderAt, offset int64) (r Root, ok bool) {
	var page [rootHeader + rootSize]byte
	if _, err := f.ReadAt(page[:], offset); err != nil {
		return Root{}, false
	}
	b, order := page[rootHeader:], binary.NativeEndian
	h := fnv.New64a()
	h.Write(b[:rootSize-8])
	if order.Uint32(b) != rootMagic || order.Uint64(b[rootSize-8:]) != h.Sum64() {
		return Root{}, false
	}
	return Root{
		pageSize: order.Uint32(b[8:]), bucket: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		pages: order.Uint64(b[40:]), txid: order.Uint64(b[48:]),
	}, true
}
