package log

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
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
	full     error // why the disk has no room for a spare segment; or nil

	replayed bool // whether Replay has succeeded

	keep    chan struct{} // wakes the keeper
	closing chan struct{}
	kept    sync.WaitGroup
	closed  sync.Once
}

// PageSize is the size in bytes of what a disk writes at once, on the usual file systems.
const PageSize = 4 << 10

// Stats describes a log.
type Stats struct {
	Segments int    // files, including spares
	Spares   int    // of these, the ones that are not in use yet
	Size     int64  // of all these files, in bytes
	Records  uint64 // appended since Open
	Written  int64  // bytes of frames and segment headers that Begin and Append wrote, since Open
	Pages    int64  // of PageSize bytes that these writes touched: what the disk had to write
	Syncs    uint64 // of segments, by Begin and Append, since Open
	Torn     int64  // bytes of the torn record that Replay discarded at the end; 0 if none was detected
}

// Open opens the log in a directory. It returns ErrMissing if there is no directory, which matches
// os.ErrNotExist too, or if it has no segment; ErrDamaged if a segment is missing or too short or if
// none has a valid header; and ErrLater if a later release wrote the log. Open does not read records;
// Replay does.
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
	parts := [][]byte{body}
	fits := f.offset+aligned(frameSize+int64(len(body))) <= f.segments[f.used()-1].size
	if !fits {
		parts = f.divide(body)
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

// divide splits a body into parts each of which fits into any segment, old or new.
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
	f.stats.Pages += (f.offset+int64(len(b))-1)/PageSize - f.offset/PageSize + 1
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
	next.header, next.begun = header{format: format, log: f.id, number: next.number, part: part, before: f.mark, size: next.size}, true
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

// Full returns why the disk has no room for another spare segment, or nil. Append still succeeds until the
// spares are used up: Options.Spares segments at most. Another spare is tried every second.
func (f *File) Full() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full
}

// Stats returns statistics of the log.
func (f *File) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Segments, s.Spares = len(f.segments), len(f.segments)-f.used()
	for i := range f.segments {
		s.Size += f.segments[i].size
	}
	return s
}

func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
