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
)

type verifyCmd struct {
	keysFlag
	File    string `arg:"" optional:"" type:"existingfile" help:"A backup. It is unpacked beside itself for the time of the check."`
	DataDir string `type:"existingdir" placeholder:"DIR" help:"Check the store of this directory instead; no coordinator may run on it."`
}

// Help gives examples.
func (verifyCmd) Help() string {
	return `Reads all of it: the structure of the file, the checksum of every record, every saga with its history, and
that the indexes agree. Exit code 3: something is damaged, and each finding is a line.

A store in which a record is damaged goes on for all other sagas, and its backups hold the damage: check each
backup, so that a good one is there when it is needed.

Examples:
  coordinator backup amends-$(date +%F).db && coordinator verify amends-$(date +%F).db
  coordinator verify --data-dir /var/lib/amends       # of a coordinator that does not run`
}

// Run checks a backup or a store.
func (c *verifyCmd) Run(env *environment) (err error) {
	if (c.File == "") == (c.DataDir == "") {
		return &exitError{code: ExitUsage, err: errors.New("name a backup, or with --data-dir the directory of a coordinator that does not run")}
	}
	keys, err := c.keys()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	what, path := c.File, filepath.Join(c.DataDir, server.StoreFile)
	if c.DataDir != "" {
		what = path
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("there is no store to check: %w", err)
		}
	} else {
		dir, failed := os.MkdirTemp(filepath.Dir(c.File), "."+filepath.Base(c.File)+".verify-*")
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		path = filepath.Join(dir, server.StoreFile)
		// What is damaged is found once more below.
		if err := restoreFile(env, c.File, path, boltstore.RestoreOptions{Keys: keys, OnDamaged: func(error) {}}); err != nil {
			return fmt.Errorf("%s: %w", c.File, errors.Unwrap(err)) // not the path beside it
		}
	}
	sagas, open, err := check(env.ctx, path, keys)
	switch {
	case errors.Is(err, boltstore.ErrLocked):
		return &exitError{code: ExitFailed, err: err, hint: "a coordinator runs on this directory: make a backup, and check that"}
	case errors.Is(err, store.ErrCorrupt):
		return &exitError{code: ExitStoreBroken, err: fmt.Errorf("%s is damaged:\n%w", what, err),
			hint: "what is named cannot be used, the other sagas can; docs/RUNBOOK.md (AmendsSagasBlocked) says how to look at what they were in an older backup"}
	case err != nil:
		return err
	}
	env.stdout.Printf("%s: sound; %s, %d of them open\n", what, plural.Of(sagas, "saga", "sagas"), open)
	return nil
}

// check reads the whole store at path.
func check(ctx context.Context, path string, keys *boltstore.Keys) (sagas, open int, err error) {
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
