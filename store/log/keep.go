package log

import (
	"fmt"
	"time"
)

// Release declares that the records up to a number are no longer needed. The segments that hold only
// such records are reused or removed in the background. Before Replay, Release has no effect.
func (f *File) Release(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := f.used() - 1; f.replayed && i > f.released; i-- {
		if h := &f.segments[i].header; h.part == 1 && h.before.Number <= number {
			f.released = i
			f.wake()
			return
		}
	}
}

func (f *File) wake() {
	select {
	case f.keep <- struct{}{}:
	default:
	}
}

// keeper prepares spare segments in the background, before Append needs them, and removes surplus
// segments.
func (f *File) keeper() {
	for {
		var again <-chan time.Time
		if f.Full() != nil {
			again = time.After(fullRetry)
		}
		select {
		case <-f.keep:
		case <-again:
		case <-f.closing:
			return
		}
		for f.keepOne() {
			select {
			case <-f.closing:
				return
			default:
			}
		}
	}
}

// upkeep is a change of the directory.
type upkeep int

const (
	leave upkeep = iota
	addNew
	reuseReleased
	removeReleased
)

// wanted returns the change that brings the directory closer to the intended number of spares.
func (f *File) wanted() upkeep {
	spares := len(f.segments) - f.used()
	switch {
	case f.broken != nil:
		return leave
	case f.released > 0 && spares <= f.options.Keep:
		return reuseReleased
	case f.released > 0:
		return removeReleased
	case spares <= f.options.Spares:
		return addNew
	}
	return leave
}

// keepOne makes at most one change to the set of segments. It reports whether it should be called
// again. The mutex is not held while a new segment is written, so what is wanted may have changed
// afterwards. If a segment cannot be created, the next Append that needs one reports the error.
func (f *File) keepOne() (more bool) {
	const name = "spare" + temporary
	f.mu.Lock()
	if f.wanted() == addNew {
		f.mu.Unlock()
		if err := f.disk.create(name, f.options.SegmentSize); err != nil {
			_ = f.disk.remove(name)
			f.setFull(err)
			return false
		}
		f.mu.Lock()
		if f.wanted() == addNew {
			f.append(name, f.options.SegmentSize)
		}
	}
	switch f.wanted() {
	case reuseReleased:
		f.reuse()
	case removeReleased:
		f.drop()
	case leave, addNew:
	}
	if f.wanted() != addNew {
		f.full = nil
	}
	changes, unsynced := f.changes, f.synced < f.changes
	f.mu.Unlock()
	if !unsynced {
		return false
	}
	err := f.disk.sync()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		_ = f.fail(err)
	}
	f.synced = max(f.synced, changes)
	return f.broken == nil
}

// setFull notes the error of creating a spare segment if the disk has no room for it.
func (f *File) setFull(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if full(err) {
		f.full = fmt.Errorf("%w: %w", ErrFull, err)
	}
}

// fullRetry is how often the keeper tries to create a spare segment on a full disk.
const fullRetry = time.Second

// reserve ensures that the next n segments exist, and one more after them. Usually they do. It syncs
// each change to the directory before it makes the next one, so that no crash leaves a gap in the
// segment numbers.
func (f *File) reserve(n int) error {
	need := f.segments[f.used()-1].number + uint64(n) + 1
	for f.broken == nil && (f.synced < f.changes || f.last() < need) {
		if f.synced < f.changes {
			if err := f.disk.sync(); err != nil {
				return f.fail(err)
			}
			f.synced = f.changes
			continue
		}
		if f.released > 0 {
			f.reuse()
			continue
		}
		const name = "next" + temporary
		if err := f.disk.create(name, f.options.SegmentSize); err != nil {
			_ = f.disk.remove(name)
			if full(err) {
				return fmt.Errorf("%w: %w", ErrFull, err)
			}
			return f.fail(err)
		}
		f.append(name, f.options.SegmentSize)
	}
	return f.broken
}

// last returns the number of the last segment.
func (f *File) last() uint64 { return f.segments[len(f.segments)-1].number }

// append makes a file the last segment, by renaming it to the next number.
func (f *File) append(name string, size int64) {
	s := segment{number: f.last() + 1, size: size}
	if f.changed(f.disk.rename(name, s.name())) {
		f.segments = append(f.segments, s)
	}
}

// reuse makes the oldest released segment the last one. Its old frames are not valid under the new
// number.
func (f *File) reuse() {
	if f.append(f.segments[0].name(), f.segments[0].size); f.broken == nil {
		f.segments = f.segments[1:]
		f.released--
	}
}

// drop removes the oldest released segment.
func (f *File) drop() {
	if f.changed(f.disk.remove(f.segments[0].name())) {
		f.segments = f.segments[1:]
		f.released--
	}
}

// changed takes the result of a change to the directory. A change that succeeded still has to be
// synced. After one that failed, it is unknown what the directory holds, so the log fails.
func (f *File) changed(err error) bool {
	if err != nil {
		_ = f.fail(err)
		return false
	}
	f.changes++
	return true
}
