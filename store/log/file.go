package log

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/google/uuid"
)

// File is a log in a directory. Open or Create returns one. Call Replay, then Begin, and then Append
// as often as needed. Replay and Begin must not be called concurrently with anything else; Append,
// Release, Last and Stats may be. One process at a time may use a directory, for which the caller
// has to care.
type File struct {
	dir     string
	options Options
	disk    disk
	id      ID

	mu       sync.Mutex
	segments []segment // all, oldest first; the last ones are spare
	released int       // how many of the oldest are released
	durable  uint64    // the segments up to this number have their names on disk
	mark     Mark      // behind the last record
	epoch    uint64
	current  segmentFile // in which records are appended; nil before Begin
	offset   int64       // in current, where the next frame begins
	size     int64       // of current
	broken   error
	stats    Stats

	replayed bool // whether Replay has succeeded

	keep    chan struct{} // asks the keeper to look
	closing chan struct{}
	kept    sync.WaitGroup
	closed  sync.Once
}

// Stats describes a log.
type Stats struct {
	Segments int    // files, with spares
	Spares   int    // of these, the ones that hold no record
	Records  uint64 // appended since Open
	Written  int64  // bytes of frames and headers, since Open
	Syncs    uint64 // since Open
	Torn     int64  // bytes of the record that Replay cut at the end; 0 if there was none
}

// Create makes a log in a directory that must not exist; its parent must. If Create fails, or the
// process ends meanwhile, the directory does not exist. It returns os.ErrExist if there is one.
func Create(dir string, options Options) (ID, error) {
	id := uuid.New()
	if err := create(dir, options, id); err != nil {
		return ID{}, fmt.Errorf("create log %s: %w", dir, err)
	}
	return id, nil
}

func create(dir string, options Options, id ID) error {
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%w: move it away first", os.ErrExist))
	}
	made := dir + temporary
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	if err := os.Mkdir(made, 0o700); err != nil {
		return err
	}
	options, err := options.withDefaults(made)
	if err != nil {
		return err
	}
	if err := write(options, id); err != nil {
		return err
	}
	if err := os.Rename(made, dir); err != nil {
		return err
	}
	return directory(filepath.Dir(dir)).sync()
}

// write makes the segments of a new log.
func write(o Options, id ID) error {
	for number := range uint64(o.Spares) + 2 {
		if err := o.disk.create(segmentName(number+1), o.SegmentSize); err != nil {
			return err
		}
	}
	first, err := o.disk.open(segmentName(1))
	if err != nil {
		return err
	}
	h := header{log: id, number: 1, part: 1}
	_, err = first.WriteAt(h.append(nil), 0)
	if err == nil {
		err = first.Sync()
	}
	if err = errors.Join(err, first.Close()); err != nil {
		return err
	}
	return o.disk.sync()
}

// Open opens the log in a directory. It returns os.ErrNotExist if there is none, ErrDamaged if a
// segment is missing or its header is damaged, and ErrLater.
func Open(dir string, options Options) (*File, error) {
	options, err := options.withDefaults(dir)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	f := &File{dir: dir, options: options, disk: options.disk, keep: make(chan struct{}, 1), closing: make(chan struct{})}
	if err := f.load(); err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return f, nil
}

// ID returns the log's id.
func (f *File) ID() ID { return f.id }

// Replay calls apply with each record behind a mark, oldest first, and ends with the first error of
// apply. It reads to the end of the log and checks what it reads.
//
// It returns ErrForeign if the mark is of another log, ErrAhead if the log begins after the mark or
// is not the same up to it, ErrBehind if the log ends before the mark, and ErrDamaged. A torn record
// at the end is cut (Stats.Torn): it was not acknowledged.
func (f *File) Replay(from Mark, apply func(Record) error) error {
	if err := f.replay(from, apply); err != nil {
		return fmt.Errorf("replay log %s: %w", f.dir, err)
	}
	return nil
}

func (f *File) replay(from Mark, apply func(Record) error) error {
	switch {
	case f.replayed:
		return errors.New("it was replayed already")
	case from.Log != f.id:
		return fmt.Errorf("%w: the log is %s, the state is of log %s", ErrForeign, f.id, from.Log)
	}
	start := -1
	for i := range f.segments[:f.used()] {
		if h := &f.segments[i].header; h.part == 1 && h.log == f.id && h.before.Number <= from.Number {
			start = i
		}
	}
	if start < 0 {
		return fmt.Errorf("%w: no segment of the log begins at or before record %d, with which the state ends", ErrAhead, from.Number)
	}
	r := &reader{f: f}
	same := func(m *Mark) error {
		if m.Number == from.Number && m.Hash != from.Hash {
			return fmt.Errorf("%w: record %d is not the one with which the state ends", ErrAhead, from.Number)
		}
		return nil
	}
	if err := same(&f.segments[start].header.before); err != nil {
		return err
	}
	err := r.read(start, func(record Record) error {
		if err := same(&record.Mark); err != nil || record.Number <= from.Number {
			return err
		}
		return apply(record)
	})
	if err != nil {
		return err
	}
	f.mark, f.stats.Torn = r.mark, r.torn
	if f.mark.Number < from.Number {
		if err := f.shorter(from); err != nil {
			return err
		}
	}
	f.replayed = true
	return nil
}

// shorter decides about a log that ends before the state does. That is possible if the state was
// saved from records that were read but not on disk, and the power was cut before Begin: then nothing
// later was acknowledged.
func (f *File) shorter(from Mark) error {
	if from.Begun || f.segments[f.used()-1].number >= from.Segment {
		return fmt.Errorf("%w: the log ends with record %d, the state with record %d", ErrBehind, f.mark.Number, from.Number)
	}
	f.mark = from
	return nil
}

// Last returns the mark behind the last record. Before Begin, its Begun is false, and its Segment is
// the one that Begin will use.
func (f *File) Last() Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.mark
	m.Log, m.Begun = f.id, f.current != nil
	if m.Segment = f.segments[f.used()-1].number; !m.Begun {
		m.Segment++
	}
	return m
}

// Begin starts a new segment behind the last record, so that nothing is ever appended behind a torn
// one. What was replayed must be saved before, with the mark Last. From now on Append may be called.
// The epoch is that of the records to come.
func (f *File) Begin(epoch uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.broken != nil:
		return f.broken
	case !f.replayed || f.current != nil:
		return fmt.Errorf("begin log %s: call Replay before, and Begin once", f.dir)
	case epoch < f.mark.Epoch:
		return fmt.Errorf("begin log %s: epoch %d is before epoch %d of the last record", f.dir, epoch, f.mark.Epoch)
	}
	f.epoch = epoch
	if err := f.reserve(1); err != nil {
		return fmt.Errorf("begin log %s: %w", f.dir, err)
	}
	if err := f.rotate(1, nil); err != nil {
		return fmt.Errorf("begin log %s: %w", f.dir, f.fail(err))
	}
	if !f.options.still {
		f.kept.Go(f.keeper)
	}
	return nil
}

// Append appends a record and returns the mark behind it. When it returns without an error, the
// record is on disk. It returns ErrFull if the disk has no room for another segment, and ErrBroken if
// a write failed, now or before.
func (f *File) Append(body []byte) (Mark, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.broken != nil:
		return Mark{}, f.broken
	case f.current == nil:
		return Mark{}, fmt.Errorf("append to log %s: call Begin before", f.dir)
	}
	parts := f.divide(body)
	fits := f.offset+aligned(frameSize+int64(len(body))) <= f.size
	if !fits {
		if err := f.reserve(len(parts)); err != nil {
			return Mark{}, fmt.Errorf("append to log %s: %w", f.dir, err)
		}
	}
	next := f.mark
	next.Epoch, next.Hash, next.Number = f.epoch, f.mark.next(f.epoch, body), f.mark.Number+1
	for i, part := range parts {
		head := frame{part: uint32(i + 1), parts: uint32(len(parts)), epoch: f.epoch, number: next.Number, before: f.mark.Hash}
		if err := f.put(&head, part, fits); err != nil {
			return Mark{}, f.fail(err)
		}
	}
	next.Segment, next.Begun = f.segments[f.used()-1].number, true
	f.mark = next
	f.stats.Records++
	return next, nil
}

// divide returns the parts of a body, each of which fits into a segment of its own.
func (f *File) divide(body []byte) (parts [][]byte) {
	most := int(f.size-headerSize-frameSize) &^ (alignment - 1)
	for len(body) > most {
		parts = append(parts, body[:most])
		body = body[most:]
	}
	return append(parts, body)
}

// put writes one frame, into the current segment if it fits or into the next one.
func (f *File) put(head *frame, part []byte, fits bool) error {
	if !fits {
		return f.rotate(head.part, func(b []byte, segment uint64) []byte {
			return appendFrame(b, f.id, segment, headerSize, head, part)
		})
	}
	b := appendFrame(nil, f.id, f.segments[f.used()-1].number, f.offset, head, part)
	return f.write(b)
}

// write writes into the current segment and syncs it.
func (f *File) write(b []byte) error {
	if _, err := f.current.WriteAt(b, f.offset); err != nil {
		return err
	}
	if err := f.current.Sync(); err != nil {
		return err
	}
	f.offset += int64(len(b))
	f.stats.Written += int64(len(b))
	f.stats.Syncs++
	return nil
}

// rotate begins the next segment, which holds the given part and what follows, and writes its header
// together with the first frame, if there is one.
func (f *File) rotate(part uint32, first func(b []byte, segment uint64) []byte) error {
	next := &f.segments[f.used()]
	file, err := f.disk.open(next.name())
	if err != nil {
		return err
	}
	size, err := file.Size()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if f.current != nil {
		if err := f.current.Close(); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	f.current, f.offset, f.size = file, 0, size
	next.header, next.begun = header{log: f.id, number: next.number, part: part, before: f.mark}, true
	b := next.header.append(nil)
	if first != nil {
		b = first(b, next.number)
	}
	if err := f.write(b); err != nil {
		return err
	}
	f.wake()
	return nil
}

// fail makes every later Append fail.
func (f *File) fail(err error) error {
	f.broken = fmt.Errorf("%w: %s: %w", ErrBroken, f.dir, err)
	return f.broken
}

// Close stops the log. It waits for an Append.
func (f *File) Close() error {
	var err error
	f.closed.Do(func() {
		close(f.closing)
		f.kept.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.current != nil {
			err = f.current.Close()
		}
		if f.broken == nil {
			f.broken = fmt.Errorf("log %s: %w", f.dir, os.ErrClosed)
		}
	})
	return err
}

// Stats returns figures of the log.
func (f *File) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Segments, s.Spares = len(f.segments), len(f.segments)-f.used()
	return s
}

func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, errNoRoom)
}

// errNoRoom is what a test's disk returns.
var errNoRoom = errors.New("no room")

// temporary is the end of the name of a file or directory that is being made.
const temporary = ".new"
