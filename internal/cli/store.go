package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/seal"
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
  mv data/sagas.db plain.db && mv data/sagas.db.log plain.db.log
  mv data/sealed.db data/sagas.db
  coordinator serve --data-dir data --store-keys keys                    # once this runs, remove plain.db and plain.db.log`
}

// Run copies a store.
func (c *storeCopyCmd) Run(env *environment) (err error) {
	keys, err := c.keys()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	to := keysFlag{StoreKeys: c.ToKeys}
	toKeys, err := to.keys()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	s, err := openStore(c.DataDir, keys, "stop it first")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	seen := newPace(env.stderr, c.File, "saga", "sagas", 0)
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
	from := s.Info().Path
	env.stdout.Printf("%s: a copy of %s, %s; move the old store and its log %s.log away, then move the copy to %s\n",
		c.File, from, sealed, from, from)
	return nil
}

// openStore opens the store in a data directory that no coordinator uses. instead says what to do if one
// does.
//
// Opening a store may write to it: what only its log holds is brought into its state. New files would
// belong to this user, and the coordinator could not open them, so only the owner may do this.
func openStore(dataDir string, keys *seal.Keys, instead string) (*boltstore.Store, error) {
	path, err := ownStore(dataDir)
	if err != nil {
		return nil, err
	}
	s, err := boltstore.Open(path, boltstore.Options{Keys: keys})
	return s, inUse(err, instead)
}

// ownStore returns the file of the store in a data directory. It must exist, and belong to this user.
func ownStore(dataDir string) (path string, err error) {
	path = filepath.Join(dataDir, server.StoreFile)
	info, err := os.Stat(path)
	if err != nil {
		return path, fmt.Errorf("there is no store: %w", err)
	}
	return path, notOwner(path, ownerOf(info), os.Geteuid())
}

// notOwner returns the error for the user me, if another one owns the store; otherwise nil.
func notOwner(path string, owner, me int) error {
	if owner == me {
		return nil
	}
	return &exitError{
		code: ExitUsage, err: fmt.Errorf("%s belongs to user %d, and this is user %d", path, owner, me),
		hint: fmt.Sprintf("run the command as user %d, because the coordinator could not open new files of another user; "+
			"with the packaged systemd unit use systemd-run, otherwise sudo or setpriv: see docs/OPERATING.md#as-the-coordinators-user", owner),
	}
}

// inUse adds a hint to the error of a store that a coordinator uses.
func inUse(err error, instead string) error {
	if errors.Is(err, boltstore.ErrLocked) {
		return &exitError{code: ExitFailed, err: err, hint: "a coordinator is running on this directory: " + instead}
	}
	return err
}
