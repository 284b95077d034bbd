package cli

import (
	"time"

	"github.com/amends-dev/amends/store/boltstore"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make a key: its line goes to the top of the file of serve --store-keys."`
}

type keyCreateCmd struct {
	Name string `help:"Its name, which stands beside what it seals. Default: the day, such as key-2026-11-27."`
}

// Run makes a key. Nothing is stored.
func (c *keyCreateCmd) Run(env *environment) error {
	if c.Name == "" {
		c.Name = "key-" + time.Now().UTC().Format(time.DateOnly)
	}
	line, err := boltstore.NewKey(c.Name)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	env.stdout.Printf("%s\n", line)
	return nil
}

// keysFlag names the keys of a store that no coordinator has open.
type keysFlag struct {
	StoreKeys string `env:"AMENDS_STORE_KEYS" type:"path" placeholder:"FILE" help:"The keys of the store, if it is sealed."`
}

func (f *keysFlag) keys() (*boltstore.Keys, error) {
	if f.StoreKeys == "" {
		return nil, nil //nolint:nilnil // no file, no keys
	}
	return boltstore.LoadKeys(f.StoreKeys)
}
