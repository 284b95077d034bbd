package boltfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Create calls write with the name of an empty temporary file, path with infix and a number, and gives the
// file its name, durably, once write has returned nil. So a crash leaves no file at path, or a complete
// one, and perhaps the temporary file. Create returns an os.ErrExist error if a file exists at path.
func Create(path, infix string, write func(temporary string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+infix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err = f.Close(); err == nil {
		err = write(f.Name())
	}
	if err == nil {
		err = linkOrRename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return SyncDir(dir)
}

// linkOrRename creates a hard link to file at name, and returns an os.ErrExist error if name exists. If
// linking fails for another reason, such as a file system without hard links, it renames the file
// instead, which replaces an existing one. The caller removes the old name.
func linkOrRename(file, name string) error {
	err := os.Link(file, name)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return os.Rename(file, name)
	}
	return err
}

// SyncDir makes the names of new or renamed files durable.
func SyncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
