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
	"github.com/amends-dev/amends/store/seal"
)

// secretSize is the length of the secret in bytes.
const secretSize = 32

// loadSecret reads the secret from the data directory, and creates it at the first start. The
// secret is the key for hashing the message ids by which the bus deduplicates. It persists, so that
// a message resent after a restart is still recognised. Without a directory the result is nil, and
// the coordinator generates a secret.
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
		return nil, fmt.Errorf("%s holds %s instead of %d; remove the file, and a new one is created (messages in flight may then be delivered twice, which all receivers tolerate)", path, plural.Of(len(secret), "byte", "bytes"), secretSize)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	secret = make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	// Write to a temporary name first, so that a crash leaves no partial secret.
	temporary := path + ".new"
	if err := writeSynced(temporary, secret); err != nil {
		return nil, err
	}
	crashpoint.Here(crashpoint.SecretUnnamed)
	return secret, os.Rename(temporary, path)
}

// loadKeys reads the keys that encrypt the store, or returns nil if there are none.
func loadKeys(path string) (*seal.Keys, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file, no keys
	}
	return seal.LoadKeys(path)
}

// writeSynced writes a file and fsyncs it. Otherwise a power failure could leave the name without
// the content.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
