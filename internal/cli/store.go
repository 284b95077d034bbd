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
	Copy storeCopyCmd `cmd:"" help:"Copy a store into another file, encrypted with other keys or not encrypted."`
}

type storeCopyCmd struct {
	keysFlag
	File    string `arg:"" type:"path" help:"File to write; it must not exist."`
	DataDir string `env:"AMENDS_DATA_DIR" type:"existingdir" default:"data" help:"Data directory of the store; no coordinator may be running on it."`
	ToKeys  string `type:"path" placeholder:"FILE" help:"Encrypt the copy with the first of these keys. Default: the copy is not encrypted."`
}

// Help gives examples.
func (storeCopyCmd) Help() string {
	return `serve --store-keys refuses a store that was created without keys, because plain records may come from anybody
who can write to the file. This command makes a copy that is entirely encrypted with the first of the keys. With
the current keys (--store-keys) and a new key (--to-keys) it makes a copy that needs only the new key.

Examples:
  coordinator store copy --data-dir data --to-keys keys data/sealed.db   # with the coordinator stopped
  mv data/sagas.db plain.db && mv data/sealed.db data/sagas.db
  coordinator serve --data-dir data --store-keys keys                    # once this runs, remove plain.db`
}

// Run copies a store.
func (c *storeCopyCmd) Run(env *environment) (err error) {
	from := filepath.Join(c.DataDir, server.StoreFile)
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("no store to copy: %w", err)
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
		return &exitError{code: ExitFailed, err: err, hint: "a coordinator is running on this directory: stop it first"}
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
		return &exitError{code: ExitStoreBroken, err: err, hint: "list all damage with: coordinator verify"}
	case err != nil:
		return err
	}
	sealed := "not encrypted"
	if toKeys != nil {
		sealed = "encrypted"
	}
	env.stdout.Printf("%s: a copy of %s, %s; move the old store away, then move the copy to %s\n", c.File, from, sealed, from)
	return nil
}
