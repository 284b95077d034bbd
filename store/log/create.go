package log

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

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
			return fmt.Errorf("%w: %s holds %s, which is not a segment of a log: move the directory away first",
				os.ErrExist, dir, name)
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
	h := header{format: format, log: id, number: 1, part: 1, size: o.SegmentSize}
	_, err = first.WriteAt(h.append(nil), 0)
	if err == nil {
		err = first.Sync()
	}
	if err = errors.Join(err, first.Close()); err != nil {
		return err
	}
	return o.disk.sync()
}

// temporary is the suffix of the name of a file or directory that is being created.
const temporary = ".new"
