package packed

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
)

// Unpack writes what the gzip file packed holds to a file at path, which only its owner
// may read. A file that is there is replaced.
func Unpack(packed, path string) error {
	f, err := os.Open(packed)
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	data, err := io.ReadAll(z)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
