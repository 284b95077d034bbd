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

// File is a log in a directory. Open returns one. Call Replay, then Begin, and then Append as often as
// needed. Replay and Begin must not run concurrently with any other method; the other methods are
// safe for concurrent use. Only one process at a time may use a directory; the caller must ensure
// that.
type File struct {
	dir     string
	options Options
	disk    disk
	id      ID

	mu       sync.Mutex
	segments []segment // all of them, oldest first; the spares come last
	released int       // how many of the oldest are released
	changes  uint64    // number of changes to the directory
	synced   uint64    // how many of these changes are durable
	mark     Mark      // of the last record
	epoch    uint64
	current  segmentFile // to which frames are appended; nil before Begin
	offset   int64       // of the next frame in current
	broken   error
	stats    Stats

	replayed bool // whether Replay has succeeded

	keep    chan struct{} // wakes the keeper
	closing chan struct{}
	kept    sync.WaitGroup
	closed  sync.Once
}

// Stats describes a log.
type Stats struct {
	Segments int    // files, including spares
	Spares   int    // of these, the ones that are not in use yet
	Records  uint64 // appended since Open
	Written  int64  // bytes of frames and segment headers that Begin and Append wrote, since Open
	Syncs    uint64 // of segments, by Begin and Append, since Open
	Torn     int64  // bytes of the torn record that Replay discarded at the end; 0 if none was detected
}

// Create creates a log in a directory that must not exist; its parent must. To read the new log, call
// Replay with Mark{Log: id}. If Create fails or the process ends during it, there is either no log or
// a complete, empty one. A directory dir + ".new" may be left behind; the next Create removes it. The
// error matches os.ErrExist if the directory exists, or if dir + ".new" holds foreign files.
func Create(dir string, options Options) (id ID, err error) {
	id = uuid.New()
	if err := create(filepath.Clean(dir), options, id); err != nil {
		return ID{}, fmt.Errorf("create log %s: %w", dir, err)
	}
	return id, nil
}

func create(dir string, options Options, id ID) (err error) {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%w: move it away first", os.ErrExist)
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	made := dir + temporary
	options, err = options.withDefaults(made)
	if err != nil {
		return err
	}
	if err := discard(made); err != nil {
		return err
	}
	if err := os.Mkdir(made, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, discard(made))
		}
	}()
	if err := write(options, id); err != nil {
		return err
	}
	if err := os.Rename(made, dir); err != nil {
		return err
	}
	return directory(filepath.Dir(dir)).sync()
}

// discard removes what an interrupted or failed Create left. It refuses a directory with other files.
func discard(dir string) error {
	names, err := directory(dir).list()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if _, ok := segmentNumber(name); !ok {
			return fmt.Errorf("%w: %s holds %s, which is not a segment of a log: move the directory away first", os.ErrExist, dir, name)
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// write creates the segments of a new log, and the header of the first one.
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
	h := header{format: format, log: id, number: 1, part: 1}
	_, err = first.WriteAt(h.append(nil), 0)
	if err == nil {
		err = first.Sync()
	}
	if err = errors.Join(err, first.Close()); err != nil {
		return err
	}
	return o.disk.sync()
}

// Open opens the log in a directory. It returns os.ErrNotExist if there is no directory, ErrDamaged if
// a segment is missing or too short or if none has a valid header, and ErrLater if a later release
// wrote the log. Open does not read records; Replay does.
func Open(dir string, options Options) (*File, error) {
	options, err := options.withDefaults(dir)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	f := &File{dir: dir, options: options, disk: options.disk, changes: 1, // an earlier process may have left some unsynced
		keep: make(chan struct{}, 1), closing: make(chan struct{})}
	if err := f.load(); err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return f, nil
}

// ID returns the log's id.
func (f *File) ID() ID { return f.id }

// Replay calls apply with each record after a mark, oldest first, and stops at the first error that
// apply returns. It reads to the end of the log, verifies what it reads, and makes the last records
// durable: if the previous process was killed, they may have been in the page cache only. Replay must
// be called once, before Begin.
//
// It returns ErrForeign if the mark is of another log, ErrAhead if the log begins after the mark or
// has another record at the mark, ErrBehind if the log ends before the mark, ErrDamaged if the log
// is damaged, and ErrBroken if the last records cannot be made durable. A torn record at the end is
// discarded (Stats.Torn): it was never acknowledged.
func (f *File) Replay(from Mark, apply func(Record) error) error {
	if err := f.replay(from, apply); err != nil {
		return fmt.Errorf("replay log %s: %w", f.dir, err)
	}
	return nil
}

func (f *File) replay(from Mark, apply func(Record) error) error {
	switch {
	case f.replayed:
		return errors.New("the log has already been replayed: call Replay only once")
	case from.Log != f.id:
		return fmt.Errorf("%w: this is log %s, but the state belongs to log %s: put back the log directory that belongs to the state", ErrForeign, f.id, from.Log)
	}
	start := -1
	for i := range f.segments[:f.used()] {
		if h := &f.segments[i].header; h.part == 1 && h.log == f.id && h.before.Number <= from.Number {
			start = i
		}
	}
	if start < 0 {
		return fmt.Errorf("%w: no segment begins at or before record %d, the last one in the state: put back the latest state, or restore a backup", ErrAhead, from.Number)
	}
	r := &reader{f: f}
	same := func(m *Mark) error {
		if m.Number == from.Number && m.Hash != from.Hash {
			return fmt.Errorf("%w: record %d in the log differs from the one in the state: put back the state that belongs to the log, or restore a backup", ErrAhead, from.Number)
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
	if r.mark.Number < from.Number {
		return fmt.Errorf("%w: the log ends at record %d, but the state ends at record %d: put back the latest log, or restore a backup", ErrBehind, r.mark.Number, from.Number)
	}
	if err := f.persist(r.tail); err != nil {
		return f.fail(err)
	}
	f.mark, f.stats.Torn, f.replayed = r.mark, r.torn, true
	f.mark.Log = f.id
	return nil
}

// persist rewrites the valid prefix of the last used segment and syncs it. Only this segment can hold
// records that were read but are not on disk, because an append syncs one segment before it writes to
// the next. Syncing without rewriting is not enough: after an earlier sync failed, another one may
// succeed without writing anything.
func (f *File) persist(b []byte) (err error) {
	file, err := f.disk.open(f.segments[f.used()-1].name())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteAt(b, 0); err != nil {
		return err
	}
	return file.Sync()
}

// Last returns the mark of the last record. Before Replay it is zero.
func (f *File) Last() Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mark
}

// Begin starts a new segment after the last record, so that nothing is ever appended after a torn
// one. After that, Append may be called. The epoch applies to the records appended from now on; it
// must not be lower than that of the last record. Begin returns ErrFull if fewer than two spare
// segments are left and the disk has no room for another, and ErrBroken if the disk failed.
func (f *File) Begin(epoch uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.broken != nil:
		return f.broken
	case !f.replayed || f.current != nil:
		return fmt.Errorf("begin log %s: call Replay first, and Begin only once", f.dir)
	case epoch < f.mark.Epoch:
		return fmt.Errorf("begin log %s: epoch %d is lower than epoch %d of the last record", f.dir, epoch, f.mark.Epoch)
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

// Append appends a record and returns its mark. When it returns without an error, the record is on
// disk. It returns ErrFull if the disk has no room for the segments that the record needs, ErrBroken
// if the disk failed during this or an earlier call, and os.ErrClosed after Close. The body may be
// empty.
func (f *File) Append(body []byte) (Mark, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.broken != nil:
		return Mark{}, f.broken
	case f.current == nil:
		return Mark{}, fmt.Errorf("append to log %s: call Begin first", f.dir)
	}
	parts := f.divide(body)
	fits := f.offset+aligned(frameSize+int64(len(body))) <= f.segments[f.used()-1].size
	if !fits {
		if err := f.reserve(len(parts)); err != nil {
			return Mark{}, fmt.Errorf("append to log %s: %w", f.dir, err)
		}
	}
	next := Mark{Log: f.id, Epoch: f.epoch, Number: f.mark.Number + 1, Hash: f.mark.next(f.epoch, body)}
	for i, part := range parts {
		head := frame{part: uint32(i + 1), parts: uint32(len(parts)), epoch: f.epoch, number: next.Number, before: f.mark.Hash}
		if err := f.put(&head, part, fits); err != nil {
			return Mark{}, f.fail(err)
		}
	}
	f.mark = next
	f.stats.Records++
	return next, nil
}

// divide splits a body into parts that fit into the current segment, each spare, and each new segment.
func (f *File) divide(body []byte) (parts [][]byte) {
	most := f.options.SegmentSize
	for i := range f.segments {
		most = min(most, f.segments[i].size)
	}
	most = (most - headerSize - frameSize) &^ (alignment - 1)
	for int64(len(body)) > most {
		parts = append(parts, body[:most])
		body = body[most:]
	}
	return append(parts, body)
}

// put writes one frame: to the current segment if it fits, otherwise to the next one.
func (f *File) put(head *frame, part []byte, fits bool) error {
	if !fits {
		return f.rotate(head.part, func(b []byte, segment uint64) []byte {
			return appendFrame(b, f.id, segment, headerSize, head, part)
		})
	}
	b := appendFrame(nil, f.id, f.segments[f.used()-1].number, f.offset, head, part)
	return f.write(b)
}

// write appends to the current segment and syncs it.
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

// rotate switches to the next segment, whose first frame will hold the given part. It writes the
// segment's header together with that frame, if there is one already.
func (f *File) rotate(part uint32, first func(b []byte, segment uint64) []byte) error {
	next := &f.segments[f.used()]
	file, err := f.disk.open(next.name())
	if err != nil {
		return err
	}
	if f.current != nil {
		_ = f.current.Close() // everything in it is synced
	}
	f.current, f.offset = file, 0
	next.header, next.begun = header{format: format, log: f.id, number: next.number, part: part, before: f.mark}, true
	b := next.header.append(nil)
	if first != nil {
		b = first(b, next.number)
	}
	f.wake()
	return f.write(b)
}

// fail makes all later calls of Begin and Append fail. They return the first error.
func (f *File) fail(err error) error {
	if f.broken != nil {
		return f.broken
	}
	f.broken = fmt.Errorf("%w: %s: %w", ErrBroken, f.dir, err)
	return f.broken
}

// Close closes the log. It waits for an Append in progress, and for a segment that is being created. A
// second call has no effect.
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

// Stats returns statistics of the log.
func (f *File) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Segments, s.Spares = len(f.segments), len(f.segments)-f.used()
	return s
}

func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// temporary is the suffix of the name of a file or directory that is being created.
const temporary = ".new"
