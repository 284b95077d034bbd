package log

import (
	"encoding/binary"
	"fmt"
)

// segment is a file of the log.
type segment struct {
	number uint64
	header header // valid if begun
	begun  bool   // whether the segment has records, or is about to; otherwise it is a spare
}

func (s *segment) name() string { return segmentName(s.number) }

func segmentName(number uint64) string { return fmt.Sprintf("%020d.log", number) }

// segmentNumber is the inverse of segmentName.
func segmentNumber(name string) (number uint64, ok bool) {
	_, err := fmt.Sscanf(name, "%020d.log", &number)
	return number, err == nil && number > 0 && name == segmentName(number)
}

// load reads the list of segments and their headers. It refuses a log that lacks a segment.
func (f *File) load() error {
	names, err := f.disk.list()
	if err != nil {
		return err
	}
	for _, name := range names {
		number, ok := segmentNumber(name)
		if !ok {
			continue
		}
		if n := len(f.segments); n > 0 && number != f.segments[n-1].number+1 {
			return f.missing(f.segments[n-1].number + 1)
		}
		s := segment{number: number}
		if s.header, s.begun, err = f.readHeader(number); err != nil {
			return err
		}
		f.segments = append(f.segments, s)
	}
	switch used := f.used(); {
	case used == 0:
		return fmt.Errorf("%w: no segment has a header", ErrDamaged)
	case used == len(f.segments):
		return f.missing(f.segments[used-1].number + 1)
	default:
		f.id = f.segments[used-1].header.log
		return nil
	}
}

func (f *File) missing(number uint64) error {
	return &DamageError{Segment: segmentName(number), Why: "the file is missing"}
}

func (f *File) readHeader(number uint64) (h header, begun bool, err error) {
	file, err := f.disk.open(segmentName(number))
	if err != nil {
		return header{}, false, err
	}
	defer file.Close()
	b := make([]byte, headerSize)
	if _, err := file.ReadAt(b, 0); err != nil {
		return header{}, false, &DamageError{Segment: segmentName(number), Why: "its header cannot be read: " + err.Error()}
	}
	if string(b[:7]) == magic[:7] && b[7] > format {
		return header{}, false, fmt.Errorf("%w: %s has format %d, but this release supports %d", ErrLater, segmentName(number), b[7], format)
	}
	h, begun = parseHeader(b, number)
	return h, begun, nil
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
	mark Mark   // behind the last record
	body []byte // of a record whose parts are not all read
	part uint32 // the last part in body
	torn int64  // bytes of a torn record behind the last one
}

// read reads the records from segment number i on and passes them to visit. It leaves the reader
// behind the last record.
func (r *reader) read(i int, visit func(Record) error) error {
	used := r.f.used()
	r.mark = r.f.segments[i].header.before
	for ; i < used; i++ {
		s := &r.f.segments[i]
		switch before := &s.header.before; {
		case !s.begun:
			return r.damage(s, 0, "its header cannot be read, although a later segment has one")
		case s.header.log != r.f.id:
			return r.damage(s, 0, "it belongs to another log, "+s.header.log.String())
		case before.Number != r.mark.Number || before.Hash != r.mark.Hash:
			return r.damage(s, 0, fmt.Sprintf("its header says that it begins after record %d", before.Number))
		case s.header.part != r.part+1 && s.header.part != 1:
			return r.damage(s, 0, fmt.Sprintf("its header says that it begins with part %d, but part %d follows", s.header.part, r.part+1))
		}
		r.part = s.header.part - 1 // if it is 0 although parts were read, their record was cut
		if err := r.segment(i, i == used-1, visit); err != nil {
			return err
		}
	}
	return nil
}

// follows reports whether the next segment continues behind what was read.
func (r *reader) follows(i int) bool {
	next := &r.f.segments[i+1].header
	return next.before.Number == r.mark.Number && next.before.Hash == r.mark.Hash && (next.part == 1 || next.part == r.part+1)
}

// segment reads the frames of a segment.
func (r *reader) segment(i int, last bool, visit func(Record) error) error {
	s := &r.f.segments[i]
	b, err := r.f.content(s.number)
	if err != nil {
		return err
	}
	for offset := int64(headerSize); ; {
		if !last && r.follows(i) {
			return nil // whatever else is here was cut
		}
		f, part, ok := parseFrame(rest(b, offset), r.f.id, s.number, offset)
		switch {
		case !ok && !last:
			return r.damage(s, offset, "the record cannot be read, although a later segment exists")
		case !ok:
			return r.end(i, b, offset)
		case f.number != r.mark.Number+1 || f.part != r.part+1 || f.before != r.mark.Hash || f.epoch < r.mark.Epoch:
			return r.damage(s, offset, fmt.Sprintf("part %d of record %d is there instead, or does not continue the record before", f.part, f.number))
		}
		offset += f.size()
		if err := r.accept(s, &f, part, visit); err != nil {
			return err
		}
	}
}

func rest(b []byte, offset int64) []byte { return b[min(offset, int64(len(b))):] }

// accept takes a part of a record, and passes the record to visit after its last part.
func (r *reader) accept(s *segment, f *frame, part []byte, visit func(Record) error) error {
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
	r.mark = Mark{
		Log: r.f.id, Epoch: f.epoch, Number: f.number, Hash: r.mark.next(f.epoch, part),
		Segment: s.number, Begun: true,
	}
	r.part = 0
	return visit(Record{Mark: r.mark, Body: part})
}

// end decides what the unreadable frame at an offset of the last used segment is: the end, perhaps
// with a torn record, or damage.
func (r *reader) end(i int, b []byte, offset int64) error {
	s := &r.f.segments[i]
	expected := r.mark.Number + 1
	if f, ok := headOf(rest(b, offset)); ok && f.number == expected && f.before == r.mark.Hash {
		r.torn = f.size()
	}
	r.torn += int64(len(r.body)) * int64(min(r.part, 1)) // the parts before it
	if at, number, found := r.later(b, s.number, offset+alignment, expected+1); found {
		return r.damage(s, offset, fmt.Sprintf("the record cannot be read, although record %d follows at byte %d", number, at))
	}
	for _, spare := range r.f.segments[i+1:] {
		b, err := r.f.content(spare.number)
		if err != nil {
			return err
		}
		if at, number, found := r.later(b, spare.number, headerSize, expected); found {
			return r.damage(&spare, 0, fmt.Sprintf("its header cannot be read, although record %d is there at byte %d", number, at))
		}
	}
	return nil
}

// later looks in a segment for a valid frame of a record that is not before the given one.
func (r *reader) later(b []byte, segment uint64, from int64, record uint64) (at int64, number uint64, found bool) {
	for at := aligned(from); at+frameSize <= int64(len(b)); at += alignment {
		if binary.LittleEndian.Uint64(b[at+24:]) < record { // cheap, and what an earlier use left is earlier
			continue
		}
		if f, _, ok := parseFrame(b[at:], r.f.id, segment, at); ok {
			return at, f.number, true
		}
	}
	return 0, 0, false
}

// headOf decodes the head of a frame without a look at its checksum.
func headOf(b []byte) (f frame, ok bool) {
	if len(b) < frameSize {
		return frame{}, false
	}
	return frame{length: int(binary.LittleEndian.Uint32(b[4:])), number: binary.LittleEndian.Uint64(b[24:]), before: Hash(b[32:frameSize])}, true
}

func (r *reader) damage(s *segment, offset int64, why string) error {
	return &DamageError{Segment: s.name(), Offset: offset, Number: r.mark.Number + 1, Why: why}
}

// content reads a segment.
func (f *File) content(number uint64) ([]byte, error) {
	file, err := f.disk.open(segmentName(number))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil {
		return nil, &DamageError{Segment: segmentName(number), Why: "it cannot be read: " + err.Error()}
	}
	return b, nil
}
