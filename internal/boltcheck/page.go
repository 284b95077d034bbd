package boltcheck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A page begins with these fields, with their sizes in bytes: id (8), flags (2), count (2) and
// overflow (4; the number of further pages that belong to the page). Then follow count elements of
// 16 bytes. In a leaf, an element holds flags, data position, key size and value size; in a branch,
// data position, key size and page. The keys and values follow in the order of the elements.
const (
	pageHeader   = 16
	pageElement  = 16
	flagBranch   = 1
	flagLeaf     = 2
	flagFreelist = 16
	flagBucket   = 1 // element flag: the value is a bucket
	noFreelist   = 1<<64 - 1
)

// pageWalk checks the pages of a file.
type pageWalk struct {
	f      io.ReaderAt
	size   int64  // size of a page, in bytes
	pages  uint64 // number of pages in the file
	seen   []bool
	report func(page uint64, err error)
}

// Check walks all pages that the root refers to, and checks every page header and element table. If
// it returns an error, bbolt must not open the file. It calls report for damage that bbolt tolerates.
// The file must have at least Size bytes.
func (r *Root) Check(f io.ReaderAt, report func(page uint64, err error)) error {
	w := &pageWalk{f: f, size: int64(r.pageSize), pages: r.pages, report: report}
	if r.pages < 2 {
		return errors.New("the root page counts fewer than 2 pages in the file")
	}
	w.seen = make([]bool, r.pages)
	w.seen[0], w.seen[1] = true, true
	if err := w.tree(r.bucket); err != nil {
		return err
	}
	if r.freelist == noFreelist {
		return nil
	}
	return w.freelist(r.freelist)
}

// read returns a page with its overflow pages, and marks all of them as seen.
func (w *pageWalk) read(id uint64) ([]byte, error) {
	if id < 2 || id >= w.pages {
		return nil, fmt.Errorf("page %d is outside the file", id)
	}
	page := make([]byte, w.size)
	if _, err := w.f.ReadAt(page, int64(id)*w.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	order := binary.NativeEndian
	overflow := uint64(order.Uint32(page[12:]))
	if own := order.Uint64(page); own != id || overflow >= w.pages-id {
		return nil, fmt.Errorf("the header of page %d is wrong: it says page %d with %d overflow pages", id, own, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if w.seen[i] {
			return nil, fmt.Errorf("page %d is referenced twice", i)
		}
		w.seen[i] = true
	}
	if overflow == 0 {
		return page, nil
	}
	page = make([]byte, int64(overflow+1)*w.size)
	if _, err := w.f.ReadAt(page, int64(id)*w.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return page, nil
}

// tree checks a page and everything below it.
func (w *pageWalk) tree(id uint64) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	switch order.Uint16(page[8:]) {
	case flagLeaf:
		return w.leaf(id, page)
	case flagBranch:
	default:
		return fmt.Errorf("page %d is neither branch nor leaf", id)
	}
	var children []uint64
	var last []byte
	end, err := elements(page, func(element []byte, data int) (int, error) {
		key := int(order.Uint32(element[4:]))
		if key == 0 || data+key > len(page) || bytes.Compare(last, page[data:data+key]) >= 0 {
			return 0, errors.New("its keys are damaged")
		}
		last = page[data : data+key]
		children = append(children, order.Uint64(element[8:]))
		return key, nil
	})
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if len(children) == 0 || w.rounded(end) != int64(len(page)) {
		return fmt.Errorf("page %d has %d bytes, but needs %d", id, len(page), end)
	}
	for _, child := range children {
		if err := w.tree(child); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks a leaf and the buckets in it.
func (w *pageWalk) leaf(id uint64, page []byte) error {
	order := binary.NativeEndian
	var buckets []uint64
	end, err := elements(page, func(element []byte, data int) (int, error) {
		key, value := int(order.Uint32(element[8:])), int(order.Uint32(element[12:]))
		if key == 0 || data+key+value > len(page) {
			return 0, fmt.Errorf("page %d: a record is longer than the page", id)
		}
		if order.Uint32(element)&flagBucket != 0 {
			if value < 16 {
				return 0, fmt.Errorf("page %d: a bucket is damaged", id)
			}
			inner := page[data+key : data+key+value]
			if child := order.Uint64(inner); child != 0 {
				buckets = append(buckets, child)
			} else if len(inner) < 16+pageHeader || order.Uint16(inner[24:]) != flagLeaf {
				return 0, fmt.Errorf("page %d: an inline bucket is damaged", id)
			} else if err := w.leaf(id, inner[16:]); err != nil {
				return 0, err
			}
		}
		return key + value, nil
	})
	if place := (*placeError)(nil); errors.As(err, &place) && !place.first {
		w.report(id, err)
	} else if err != nil {
		return err
	} else if int64(len(page))%w.size == 0 && w.rounded(end) != int64(len(page)) {
		return fmt.Errorf("page %d has %d bytes, but needs %d", id, len(page), end)
	}
	for _, child := range buckets {
		if err := w.tree(child); err != nil {
			return err
		}
	}
	return nil
}

// rounded returns the total size of the pages that hold n bytes. If the data fills its last page
// exactly, no further page is needed.
func (w *pageWalk) rounded(n int) int64 {
	return (int64(n) + w.size - 1) / w.size * w.size
}

// placeError means that the position in an element is not the position of the element's data.
type placeError struct {
	element int
	first   bool // whether it is the first element; in that case the count or the table is wrong
}

func (e *placeError) Error() string {
	return fmt.Sprintf("element %d does not point to its data", e.element)
}

// elements calls check for every element, with the position at which the element's data must begin.
// check returns the length of the data. elements returns the end of all data.
func elements(page []byte, check func(element []byte, data int) (int, error)) (end int, err error) {
	order := binary.NativeEndian
	count := int(order.Uint16(page[10:]))
	table := pageHeader + count*pageElement
	if table > len(page) {
		return 0, fmt.Errorf("%d elements do not fit", count)
	}
	end = table
	leaf := order.Uint16(page[8:]) == flagLeaf
	var wrong *placeError
	for i := range count {
		at := pageHeader + i*pageElement
		element := page[at : at+pageElement]
		place := int(order.Uint32(element))
		if leaf {
			place = int(order.Uint32(element[4:]))
		}
		if at+place != end {
			if wrong == nil {
				wrong = &placeError{element: i, first: i == 0}
			}
			if at+place < table || at+place > len(page) {
				return 0, fmt.Errorf("element %d points outside the page", i)
			}
			end = at + place
		}
		n, err := check(element, end)
		if err != nil {
			return 0, err
		}
		end += n
	}
	if wrong != nil {
		return end, wrong
	}
	return end, nil
}

// freelist checks that every free page is inside the file, listed once and not in use.
func (w *pageWalk) freelist(id uint64) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	count, data := uint64(order.Uint16(page[10:])), page[pageHeader:]
	if count == 0xffff {
		count, data = order.Uint64(data), data[8:]
	}
	if order.Uint16(page[8:]) != flagFreelist || count > uint64(len(data))/8 {
		return fmt.Errorf("page %d is not a list of free pages", id)
	}
	for i := range count {
		free := order.Uint64(data[i*8:])
		if free < 2 || free >= w.pages || w.seen[free] {
			return fmt.Errorf("page %d is listed as free, but is in use or outside the file", free)
		}
		w.seen[free] = true
	}
	return nil
}
