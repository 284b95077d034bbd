package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// files are what the files hold that a configuration names, but for the store itself.
type files struct {
	keys   *boltstore.Keys     // nil: nothing is sealed
	http   *access.Certificate // nil: plain HTTP
	listen *access.Certificate // of the embedded server; nil: plain TCP
}

// Check returns everything that is wrong with the configuration and with the files that
// it names, joined. It reads them as Run does, and changes nothing.
func (c *Config) Check() error {
	_, err := c.read()
	return errors.Join(c.Validate(), err)
}

// read reads the files, and reports all that cannot be used.
func (c *Config) read() (*files, error) {
	var f files
	var err error
	var errs []error
	f.keys, err = loadKeys(c.StoreKeys)
	errs = append(errs, err)
	if who := c.Access; who.Validate() == nil { // or else Validate has said what is wrong
		_, err = access.New(who) // recreated when it is known where it listens
		errs = append(errs, err)
	}
	if c.TLSCert != "" && c.TLSKey != "" {
		if f.http, err = certificate(c.TLSCert, c.TLSKey, c.Logger); err != nil {
			errs = append(errs, fmt.Errorf("http: %w", err))
		}
	}
	if c.NATS.ListenCert != "" && c.NATS.ListenKey != "" {
		if f.listen, err = certificate(c.NATS.ListenCert, c.NATS.ListenKey, c.Logger); err != nil {
			errs = append(errs, fmt.Errorf("nats listen: %w", err))
		}
	}
	if c.NATS.Users != "" {
		errs = append(errs, embedded.CheckUsers(c.NATS.Users, natsbus.Account))
	}
	bus, err := c.NATS.Bus("amends-coordinator", c.Prefix)
	errs = append(errs, err, bus.CheckFiles())
	if err := c.NATS.Responder.CheckFiles(); err != nil {
		errs = append(errs, fmt.Errorf("nats responder: %w", err))
	}
	if c.DataDir != "" { // Validate reports a missing one
		if info, err := os.Stat(c.DataDir); err == nil && !info.IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("data dir: %s is not a directory that can be used; name one, or what is not there yet", c.DataDir))
		}
	}
	return &f, errors.Join(errs...)
}
