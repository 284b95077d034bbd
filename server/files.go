package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// files holds the contents of the files that a configuration names, except the store, and what else
// is found on the machine.
type files struct {
	keys   *seal.Keys          // nil means no encryption
	http   *access.Certificate // nil means plain HTTP
	listen *access.Certificate // for the embedded server; nil means plain TCP
	memory int64               // limit in bytes of each stream that is kept in memory; 0 if they are kept in files
}

// Check returns all errors in the configuration and in the files that it names, joined. It reads
// the files as Run does, and changes nothing.
func (c *Config) Check() error {
	_, err := c.read()
	return errors.Join(c.Validate(), err)
}

// read reads the files, and returns the errors of all unusable ones.
func (c *Config) read() (*files, error) {
	var f files
	var err error
	var errs []error
	f.keys, err = loadKeys(c.StoreKeys)
	errs = append(errs, err)
	if who := c.Access.config(); who.Validate() == nil { // Validate reports its errors
		_, err = access.New(who) // created again once the listen address is known
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
	f.memory, err = c.NATS.queues()
	errs = append(errs, err)
	bus, err := c.NATS.Bus("amends-coordinator", c.Prefix)
	errs = append(errs, err, bus.CheckFiles())
	if err := c.NATS.Responder.CheckFiles(); err != nil {
		errs = append(errs, fmt.Errorf("nats responder: %w", err))
	}
	if c.DataDir != "" { // Validate reports a missing directory
		if info, err := os.Stat(c.DataDir); err == nil && !info.IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("data dir: %s cannot be used as a directory; give an existing directory, or a path that does not exist yet (it will be created)", c.DataDir))
		}
	}
	return &f, errors.Join(errs...)
}
