package access

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a server's certificate and key. Both files are reloaded when one of them changes,
// so that a renewed certificate needs no restart.
type Certificate struct {
	cert, key string
	logger    *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	known  [2]os.FileInfo
	looked time.Time
}

// LoadCertificate reads two PEM files: a certificate, followed by its intermediates, and its key. A
// nil logger selects slog.Default().
func LoadCertificate(cert, key string, logger *slog.Logger) (*Certificate, error) {
	if logger == nil {
		logger = slog.Default()
	}
	c := &Certificate{cert: cert, key: key, logger: logger}
	files, err := c.look()
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	if err := c.read(files); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}

func (c *Certificate) look() (files [2]os.FileInfo, err error) {
	for i, name := range []string{c.cert, c.key} {
		if files[i], err = os.Stat(name); err != nil {
			return files, err
		}
	}
	return files, nil
}

func (c *Certificate) read(files [2]os.FileInfo) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("read the certificate %s and its key %s: %w", c.cert, c.key, err)
	}
	c.pair, c.known, c.looked = &pair, files, time.Now()
	return nil
}

// current returns the certificate in the files. While the files do not match, because only one of
// them has been replaced yet, it returns the last valid certificate.
func (c *Certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.looked) < lookAgain {
		return c.pair
	}
	c.looked = now
	files, err := c.look()
	if err == nil && same(files[0], c.known[0]) && same(files[1], c.known[1]) {
		return c.pair
	}
	if err == nil {
		err = c.read(files)
	}
	if err != nil {
		c.logger.Error("cannot reload the TLS certificate; the previous one stays in use", slog.Any("error", err))
		return c.pair
	}
	c.logger.Info("reloaded the TLS certificate", slog.String("file", c.cert), slog.Time("not_after", c.pair.Leaf.NotAfter))
	return c.pair
}

// same reports whether a file is unchanged.
func same(now, before os.FileInfo) bool {
	return os.SameFile(now, before) && now.ModTime().Equal(before.ModTime()) && now.Size() == before.Size()
}

// Config returns a server's TLS configuration with this certificate, for TLS 1.2 or newer.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}
