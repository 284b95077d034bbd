package cli

import (
	"time"

	"github.com/amends-dev/amends/store/seal"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Create a key. Add the printed line at the top of the file of serve --store-keys."`
}

type keyCreateCmd struct {
	Name string `help:"Name of the key, stored with the data that it encrypts. Default: the date, such as key-2026-11-27."`
}

// Run prints a new key. It stores nothing.
func (c *keyCreateCmd) Run(env *environment) error {
	if c.Name == "" {
		c.Name = "key-" + time.Now().UTC().Format(time.DateOnly)
	}
	line, err := seal.NewKey(c.Name)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	env.stdout.Printf("%s\n", line)
	return nil
}

// keysFlag names the key file for a store that the command itself opens.
type keysFlag struct {
	StoreKeys string `env:"AMENDS_STORE_KEYS" type:"path" placeholder:"FILE" help:"File of the store's keys, if the store is encrypted."`
}

func (f *keysFlag) keys() (*seal.Keys, error) {
	if f.StoreKeys == "" {
		return nil, nil //nolint:nilnil // no file, no keys
	}
	return seal.LoadKeys(f.StoreKeys)
}
