package log

import (
	"errors"
	"fmt"
)

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

// Scan is Replay for a log that must not be changed: it opens no file for writing, and makes nothing
// durable. It calls apply with each record after a mark, and returns the mark of the last record of
// the log and the number of bytes of a torn record after it, as Stats.Torn does. It returns the errors
// of Open and Replay, except ErrBroken. No process may append to the log meanwhile; the caller must
// ensure that.
func Scan(dir string, from Mark, apply func(Record) error) (last Mark, torn int64, err error) {
	return scan(dir, from, Options{}, apply)
}

func scan(dir string, from Mark, options Options, apply func(Record) error) (last Mark, torn int64, err error) {
	f, err := Open(dir, options)
	if err != nil {
		return Mark{}, 0, err
	}
	r, err := f.read(from, apply)
	if err != nil {
		return Mark{}, 0, fmt.Errorf("scan log %s: %w", dir, err)
	}
	return r.mark, r.torn, nil
}

func (f *File) replay(from Mark, apply func(Record) error) error {
	if f.replayed {
		return errors.New("the log has already been replayed: call Replay only once")
	}
	last, err := f.disk.open(f.segments[f.used()-1].name())
	if err != nil {
		return err // for example, it may only be read
	}
	defer last.Close()
	r, err := f.read(from, apply)
	if err != nil {
		return err
	}
	if err := persist(last, r.tail); err != nil {
		return f.fail(err)
	}
	f.mark, f.stats.Torn, f.replayed = r.mark, r.torn, true
	return nil
}

// read calls apply with each record after a mark. It reads to the end of the log, and returns the
// reader.
func (f *File) read(from Mark, apply func(Record) error) (*reader, error) {
	if from.Log != f.id {
		return nil, fmt.Errorf("%w: this is log %s, but the state belongs to log %s: put back the log directory that "+
			"belongs to the state", ErrForeign, f.id, from.Log)
	}
	start := -1
	for i := range f.segments[:f.used()] {
		if h := &f.segments[i].header; h.part == 1 && h.log == f.id && h.before.Number <= from.Number {
			start = i
		}
	}
	if start < 0 {
		return nil, fmt.Errorf("%w: no segment begins at or before record %d, the last one in the state: put back the "+
			"latest state, or restore a backup", ErrAhead, from.Number)
	}
	r := &reader{f: f}
	same := func(m *Mark) error {
		if m.Number == from.Number && m.Hash != from.Hash {
			return fmt.Errorf("%w: record %d in the log differs from the one in the state: put back the state that belongs "+
				"to the log, or restore a backup", ErrAhead, from.Number)
		}
		return nil
	}
	if err := same(&f.segments[start].header.before); err != nil {
		return nil, err
	}
	err := r.read(start, func(record Record) error {
		if err := same(&record.Mark); err != nil || record.Number <= from.Number {
			return err
		}
		return apply(record)
	})
	if err != nil {
		return nil, err
	}
	if r.mark.Number < from.Number {
		return nil, fmt.Errorf("%w: the log ends at record %d, but the state ends at record %d: put back the latest log, or "+
			"restore a backup", ErrBehind, r.mark.Number, from.Number)
	}
	return r, nil
}

// persist rewrites the valid prefix of the last used segment and syncs it. Only this segment can hold
// records that were read but are not on disk, because an append syncs one segment before it writes to
// the next. Syncing without rewriting is not enough: after an earlier sync failed, another one may
// succeed without writing anything.
func persist(last segmentFile, b []byte) error {
	if _, err := last.WriteAt(b, 0); err != nil {
		return err
	}
	return last.Sync()
}
