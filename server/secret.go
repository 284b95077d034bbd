package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/store/boltstore"
)

// secretSize is the length of the secret in bytes.
const secretSize = 32

// loadSecret reads the secret of the data directory, and creates it at the first start. It keys the
// hash in the message ids by which the bus removes duplicates; it persists so that a message sent
// again after a restart is still recognised. Without a directory the result is nil, and the
// coordinator makes its own.
func loadSecret(dir string) ([]byte, error) {
	if dir == "" {
		return nil, nil
	}
	path := filepath.Join(dir, "secret")
	secret, err := os.ReadFile(path)
	switch {
	case err == nil && len(secret) == secretSize:
		return secret, nil
	case err == nil:
		return nil, fmt.Errorf("%s holds %s instead of %d; remove it and a new one is made (messages in flight may then be delivered twice, which everybody bears)", path, plural.Of(len(secret), "byte", "bytes"), secretSize)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	secret = make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	// A temporary name first, so that a crash leaves no half-written secret.
	temporary := path + ".new"
	if err := writeSynced(temporary, secret); err != nil {
		return nil, err
	}
	crashpoint.Here(crashpoint.SecretUnnamed)
	return secret, os.Rename(temporary, path)
}

// loadKeys reads the keys that encrypt the store; nil if there are none.
func loadKeys(path string) (*boltstore.Keys, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file, no keys
	}
	return boltstore.LoadKeys(path)
}

// writeSynced writes a file and fsyncs it: otherwise a power cut could leave the name without the
// content.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
