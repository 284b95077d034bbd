package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/amends-dev/amends/internal/plural"
)

// segment is a file of the log.
type segment struct {
	number uint64
	size   int64
	header header // valid if begun
	begun  bool   // whether the segment has a valid header; otherwise it is a spare
}

func (s *segment) name() string { return segmentName(s.number) }

func segmentName(number uint64) string { return fmt.Sprintf("%020d.log", number) }

// segmentNumber is the inverse of segmentName.
func segmentNumber(name string) (number uint64, ok bool) {
	_, err := fmt.Sscanf(name, "%020d.log", &number)
	return number, err == nil && number > 0 && name == segmentName(number)
}

// load lists the segments and reads their headers. It fails if a segment is missing.
func (f *File) load() error {
	names, err := f.disk.list()
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrMissing, err)
	} else if err != nil {
		return err
	}
	for _, name := range names {
		number, ok := segmentNumber(name)
		if !ok {
			continue
		}
		if n := len(f.segments); n > 0 && number != f.last()+1 {
			return missing(f.last() + 1)
		}
		s, err := f.readHeader(number)
		if err != nil {
			return err
		}
		f.segments = append(f.segments, s)
	}
	switch used := f.used(); {
	case len(f.segments) == 0:
		return fmt.Errorf("%w: the directory has no segment", ErrMissing)
	case used == 0:
		return &DamageError{Segment: segmentName(f.last()), Why: "neither this segment nor an earlier one has a readable header"}
	case used == len(f.segments):
		return missing(f.last() + 1)
	default:
		f.id = f.segments[used-1].header.log
		return nil
	}
}

func missing(number uint64) error {
	return &DamageError{Segment: segmentName(number), Why: "the file is missing (if you have it, put it back and open the log again)"}
}

func (f *File) readHeader(number uint64) (segment, error) {
	s := segment{number: number}
	file, err := f.disk.view(s.name())
	if err != nil {
		return s, err
	}
	defer file.Close()
	if s.size, err = file.Size(); err != nil {
		return s, err
	}
	if s.size < MinSegmentSize {
		why := fmt.Sprintf("the file has only %s, fewer than the smallest segment", plural.Of(s.size, "byte", "bytes"))
		return s, &DamageError{Segment: s.name(), Why: why}
	}
	b := make([]byte, headerSize)
	if _, err := file.ReadAt(b, 0); err != nil {
		return s, fmt.Errorf("read %s: %w", s.name(), err)
	}
	s.header, s.begun = parseHeader(b, number)
	if s.begun && s.header.format > format {
		return s, fmt.Errorf("%w: %s has format %d, but this release supports formats up to %d: use the release that wrote "+
			"the log, or a later one", ErrLater, s.name(), s.header.format, format)
	}
	if s.begun && s.size < s.header.size {
		return s, &DamageError{Segment: s.name(), Why: fmt.Sprintf("the file has %s instead of %d", plural.Of(s.size, "byte", "bytes"), s.header.size)}
	}
	return s, nil
}

// used returns the number of segments that are not spare: those up to the last one with a header.
func (f *File) used() int {
	n := len(f.segments)
	for n > 0 && !f.segments[n-1].begun {
		n--
	}
	return n
}

// reader reads the records of a log in order.
type reader struct {
	f    *File
	mark Mark   // of the last record read
	body []byte // the parts read so far of an incomplete record
	part uint32 // number of the last part read; 0 after a complete record
	torn int64  // bytes of a torn record after the last valid one
	tail []byte // the valid prefix of the last used segment, including its header
}

// read reads the records from segment i on and passes them to visit. Afterwards, mark is that of the
// last record.
func (r *reader) read(i int, visit func(Record) error) error {
	r.mark = r.f.segments[i].header.before
	for last := r.f.used() - 1; i <= last; i++ {
		r.part = r.f.segments[i].header.part - 1 // 0 also discards the parts of a torn record
		if err := r.segment(i, i == last, visit); err != nil {
			return err
		}
	}
	return nil
}

// follows reports whether the segment after segment i continues directly after what has been read.
func (r *reader) follows(i int) bool {
	next := &r.f.segments[i+1]
	h := &next.header
	return next.begun && h.log == r.f.id && h.before.Number == r.mark.Number && h.before.Hash == r.mark.Hash &&
		(h.part == 1 || h.part == r.part+1)
}

// segment reads the frames of a segment.
func (r *reader) segment(i int, last bool, visit func(Record) error) error {
	s := &r.f.segments[i]
	b, err := r.f.content(s)
	if err != nil {
		return err
	}
	for offset := int64(headerSize); ; {
		if !last && r.follows(i) {
			return nil // anything else in this segment was discarded
		}
		f, part, ok := parseFrame(rest(b, offset), r.f.id, s.number, offset)
		switch {
		case !ok && !last:
			return r.gap(i, offset)
		case !ok:
			r.tail = b[:offset]
			return r.end(i, b, offset)
		case f.number != r.mark.Number+1 || f.part != r.part+1 || f.before != r.mark.Hash || f.epoch < r.mark.Epoch:
			return r.damage(s, offset, fmt.Sprintf("found part %d of record %d, which does not continue the previous record",
				f.part, f.number))
		}
		offset += f.size()
		if err := r.accept(&f, part, visit); err != nil {
			return err
		}
	}
}

// gap returns the error for an unreadable frame before the next segment begins.
func (r *reader) gap(i int, offset int64) error {
	next := &r.f.segments[i+1]
	switch {
	case !next.begun:
		return r.damage(next, 0, "the header of the segment cannot be read, although a later segment has one")
	case next.header.log != r.f.id:
		return r.damage(next, 0, "the segment belongs to another log, "+next.header.log.String())
	}
	return r.damage(&r.f.segments[i], offset, fmt.Sprintf("the record cannot be read, although the next segment begins "+
		"after record %d", next.header.before.Number))
}

func rest(b []byte, offset int64) []byte { return b[min(offset, int64(len(b))):] }

// accept adds a part to the current record. After the last part, it passes the record to visit.
func (r *reader) accept(f *frame, part []byte, visit func(Record) error) error {
	r.part = f.part
	if f.parts > 1 {
		if f.part == 1 {
			r.body = r.body[:0]
		}
		r.body = append(r.body, part...)
		part = r.body
	}
	if f.part < f.parts {
		return nil
	}
	r.mark = Mark{Log: r.f.id, Epoch: f.epoch, Number: f.number, Hash: r.mark.next(f.epoch, part)}
	r.part = 0
	return visit(Record{Mark: r.mark, Body: part})
}

// end decides what an unreadable frame in the last used segment means: the end of the log, perhaps
// with a torn record, or damage.
func (r *reader) end(i int, b []byte, offset int64) error {
	s := &r.f.segments[i]
	expected := r.mark.Number + 1
	if f, ok := parseHead(rest(b, offset), r.f.id, s.number, offset); ok && f.number == expected {
		r.torn = f.size()
	}
	if r.part > 0 {
		r.torn += int64(len(r.body)) // its parts that were read
	}
	if at, number, found := r.later(b, s.number, offset+alignment, expected+1); found {
		return r.damage(s, offset, fmt.Sprintf("the record cannot be read, although record %d follows at byte %d", number, at))
	}
	for k := range r.f.segments[i+1:] {
		spare := &r.f.segments[i+1+k]
		b, err := r.f.content(spare)
		if err != nil {
			return err
		}
		if at, number, found := r.later(b, spare.number, headerSize, expected); found {
			return r.damage(spare, 0, fmt.Sprintf("the header of the segment cannot be read, although the segment holds "+
				"record %d at byte %d", number, at))
		}
	}
	return nil
}

// later searches a segment for the head of a frame with the given record number or a higher one.
func (r *reader) later(b []byte, segment uint64, from int64, record uint64) (at int64, number uint64, found bool) {
	for at := aligned(from); at+frameSize <= int64(len(b)); at += alignment {
		// A cheap check first: what a previous use left has lower numbers.
		if binary.LittleEndian.Uint64(b[at+32:]) < record {
			continue
		}
		if f, ok := parseHead(b[at:], r.f.id, segment, at); ok {
			return at, f.number, true
		}
	}
	return 0, 0, false
}

func (r *reader) damage(s *segment, offset int64, why string) error {
	return &DamageError{Segment: s.name(), Offset: offset, Number: r.mark.Number + 1, Why: why}
}

// content reads a segment.
func (f *File) content(s *segment) ([]byte, error) {
	file, err := f.disk.view(s.name())
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b := make([]byte, s.size)
	if _, err := file.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.name(), err)
	}
	return b, nil
}
