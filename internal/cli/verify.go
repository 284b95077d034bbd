package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/seal"
)

type verifyCmd struct {
	keysFlag
	File    string `arg:"" optional:"" type:"existingfile" help:"The backup. It is unpacked temporarily into the same directory."`
	DataDir string `type:"existingdir" placeholder:"DIR" help:"Check the store in this directory instead; no coordinator may be running on it."`
}

// Help gives examples.
func (verifyCmd) Help() string {
	return `Reads everything: the structure of the file, the checksum of every record, every saga with its history, and
the indexes. Exit code 3: something is damaged; each finding is printed on a line.

A damaged record affects only its own saga, and backups contain the damage, too: check each
backup, so that a good one exists when you need it.

Examples:
  coordinator backup amends-$(date +%F).db && coordinator verify amends-$(date +%F).db
  coordinator verify --data-dir /var/lib/amends       # with the coordinator stopped`
}

// Run checks a backup or a store.
func (c *verifyCmd) Run(env *environment) (err error) {
	if (c.File == "") == (c.DataDir == "") {
		return &exitError{code: ExitUsage, err: errors.New("name either a backup, or the data directory of a stopped coordinator with --data-dir")}
	}
	keys, err := c.keys()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	what, path := c.File, filepath.Join(c.DataDir, server.StoreFile)
	if c.DataDir != "" {
		what = path
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("no store to check: %w", err)
		}
	} else {
		dir, failed := os.MkdirTemp(filepath.Dir(c.File), "."+filepath.Base(c.File)+".verify-*")
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		path = filepath.Join(dir, server.StoreFile)
		// Errors of single records are ignored here, because the check below reports all damage.
		if err := restoreFile(env, c.File, path, boltstore.RestoreOptions{Keys: keys, OnDamaged: func(error) {}}); err != nil {
			return fmt.Errorf("%s: %w", c.File, errors.Unwrap(err)) // without the path of the temporary copy
		}
	}
	sagas, open, err := check(env.ctx, path, keys)
	switch {
	case errors.Is(err, boltstore.ErrLocked):
		return &exitError{code: ExitFailed, err: err, hint: "a coordinator is running on this directory: make a backup and verify it"}
	case errors.Is(err, store.ErrCorrupt):
		return &exitError{code: ExitStoreBroken, err: fmt.Errorf("%s is damaged:\n%w", what, err),
			hint: "all other sagas are unaffected; docs/RUNBOOK.md (AmendsSagasBlocked) explains how to look up the damaged ones in an older backup"}
	case err != nil:
		return err
	}
	env.stdout.Printf("%s: no damage found; %s, %d of them open\n", what, plural.Of(sagas, "saga", "sagas"), open)
	return nil
}

// check verifies the store at path, and counts its sagas.
func check(ctx context.Context, path string, keys *seal.Keys) (sagas, open int, err error) {
	s, err := boltstore.OpenReadOnly(path, boltstore.Options{Keys: keys})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Verify(ctx); err != nil {
		return 0, 0, err
	}
	counts, err := s.Counts(ctx)
	for _, n := range counts {
		sagas, open = sagas+n.Sagas, open+n.Sagas-n.Ended
	}
	return sagas, open, err
}
