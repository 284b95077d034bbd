package log

import "fmt"

// Release says that the records up to a number are no longer needed. The segments that hold only
// such records are used again, which Release does not wait for.
func (f *File) Release(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := f.used() - 1; i > f.released; i-- {
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

// keeper makes segments ready before they are needed, off the path of Append.
func (f *File) keeper() {
	for {
		select {
		case <-f.keep:
			for f.keepOne() {
			}
		case <-f.closing:
			return
		}
	}
}

// keepOne brings the directory one segment nearer to what it should hold. It reports whether it
// succeeded. If the disk is full, the next Append that needs a segment says so.
func (f *File) keepOne() bool {
	const name = "spare" + temporary
	f.mu.Lock()
	spares := len(f.segments) - f.used()
	released, few, broken := f.released > 0, spares <= f.options.Spares, f.broken != nil
	f.mu.Unlock()
	if broken || !released && !few {
		return false
	}
	if !released {
		if err := f.disk.create(name, f.options.SegmentSize); err != nil {
			_ = f.disk.remove(name)
			return false
		}
	}
	f.mu.Lock()
	var err error
	switch {
	case !released:
		err = f.append(name)
	case spares <= 2*f.options.Spares:
		err = f.reuse()
	default:
		err = f.drop()
	}
	last := f.last()
	f.mu.Unlock()
	if err != nil || f.disk.sync() != nil {
		return false
	}
	f.mu.Lock()
	f.durable = max(f.durable, last)
	f.mu.Unlock()
	return true
}

// reserve makes sure that the next n segments exist, and one behind them. Most times they do. One
// change of the directory is under way at a time, so that no crash leaves a gap in the numbers.
func (f *File) reserve(n int) error {
	need := f.segments[f.used()-1].number + uint64(n) + 1
	for f.durable < need {
		if f.durable == f.last() {
			if err := f.extend(); err != nil && full(err) {
				return fmt.Errorf("%w: %w", ErrFull, err)
			} else if err != nil {
				return err
			}
		}
		if err := f.disk.sync(); err != nil {
			return err
		}
		f.durable = f.last()
	}
	return nil
}

func (f *File) extend() error {
	if f.released > 0 {
		return f.reuse()
	}
	const name = "next" + temporary
	if err := f.disk.create(name, f.options.SegmentSize); err != nil {
		_ = f.disk.remove(name)
		return err
	}
	return f.append(name)
}

// last returns the number of the last segment.
func (f *File) last() uint64 { return f.segments[len(f.segments)-1].number }

// reuse makes the oldest released segment the last one. What it holds is not valid there.
func (f *File) reuse() error {
	if err := f.append(f.segments[0].name()); err != nil {
		return err
	}
	f.segments = f.segments[1:]
	f.released--
	return nil
}

// append renames a file to the number behind the last one.
func (f *File) append(name string) error {
	number := f.last() + 1
	if err := f.disk.rename(name, segmentName(number)); err != nil {
		return err
	}
	f.segments = append(f.segments, segment{number: number})
	return nil
}

// drop removes the oldest released segment.
func (f *File) drop() error {
	if err := f.disk.remove(f.segments[0].name()); err != nil {
		return err
	}
	f.segments = f.segments[1:]
	f.released--
	return nil
}
