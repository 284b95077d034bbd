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

// loadSecret reads the secret of the data directory, and makes it the first
// time. It keys the hash in the ids that the bus deduplicates: kept over
// restarts, a message that is sent again is still recognised. Without a directory there is
// none: the coordinator makes one for itself.
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
	// Under a name of its own first: a crash leaves no half-written secret.
	temporary := path + ".new"
	if err := writeSynced(temporary, secret); err != nil {
		return nil, err
	}
	crashpoint.Here(crashpoint.SecretUnnamed)
	return secret, os.Rename(temporary, path)
}

// loadKeys reads the keys that seal the store; nil: there are none.
func loadKeys(path string) (*boltstore.Keys, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file, no keys
	}
	return boltstore.LoadKeys(path)
}

// writeSynced writes a file whose content is on disk when it returns: a name
// can outlive a power cut that its content does not.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
