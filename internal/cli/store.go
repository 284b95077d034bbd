package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

type storeCmd struct {
	Copy storeCopyCmd `cmd:"" help:"Copy a store into another file, sealed with other keys or with none."`
}

type storeCopyCmd struct {
	keysFlag
	File    string `arg:"" type:"path" help:"The file to make; must not exist."`
	DataDir string `env:"AMENDS_DATA_DIR" type:"existingdir" default:"data" help:"Copy the store of this directory; no coordinator may run on it."`
	ToKeys  string `type:"path" placeholder:"FILE" help:"Seal the copy with the first of these keys. Default: the copy is not sealed."`
}

// Help gives examples.
func (storeCopyCmd) Help() string {
	return `A store that was made without keys is not taken with --store-keys, because what is not sealed could have been
put there by anybody who can write to the file. This seals a copy of it, all of it, with the first of the keys. With
the keys that there are (--store-keys) and a new one (--to-keys) it makes a copy that needs only the new one.

Examples:
  coordinator store copy --data-dir data --to-keys keys data/sealed.db   # the coordinator does not run
  mv data/sagas.db plain.db && mv data/sealed.db data/sagas.db
  coordinator serve --data-dir data --store-keys keys                    # remove plain.db when this runs`
}

// Run copies a store.
func (c *storeCopyCmd) Run(env *environment) (err error) {
	from := filepath.Join(c.DataDir, server.StoreFile)
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("there is no store to copy: %w", err)
	}
	keys, err := c.keys()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	to := keysFlag{StoreKeys: c.ToKeys}
	toKeys, err := to.keys()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	s, err := boltstore.OpenReadOnly(from, boltstore.Options{Keys: keys})
	if errors.Is(err, boltstore.ErrLocked) {
		return &exitError{code: ExitFailed, err: err, hint: "a coordinator runs on this directory: stop it first"}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	seen := newPace(env.stderr, c.File, "record", "records", 0)
	err = s.Copy(env.ctx, c.File, boltstore.CopyOptions{Keys: toKeys, Progress: func(n int64) { seen.add(n - seen.done) }})
	switch {
	case errors.Is(err, os.ErrExist):
		return &exitError{code: ExitUsage, err: err}
	case errors.Is(err, store.ErrCorrupt):
		return &exitError{code: ExitStoreBroken, err: err, hint: "coordinator verify names all that is damaged"}
	case err != nil:
		return err
	}
	sealed := "not sealed"
	if toKeys != nil {
		sealed = "sealed"
	}
	env.stdout.Printf("%s: a copy of %s, %s; move it to %s when that is out of the way\n", c.File, from, sealed, from)
	return nil
}
