package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/log"
)

type verifyCmd struct {
	keysFlag
	File    string `arg:"" optional:"" type:"existingfile" help:"The backup. It is unpacked temporarily into the same directory."`
	DataDir string `type:"existingdir" placeholder:"DIR" help:"Check the store in this directory instead; no coordinator may be running on it."`
}

// Help gives examples.
func (verifyCmd) Help() string {
	return `Reads everything: the structure of the file, the checksum of every row, every saga with its history, the
indexes, and of a data directory also the log. It changes nothing. Exit code 3: something is damaged; each finding, up to
100, is printed on a line. Before them it prints the records of the log that were skipped (coordinator log skip), and the
damaged sagas for which the log is kept.

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
	v, err := boltstore.Verify(env.ctx, path, boltstore.Options{Keys: keys})
	for i := range v.Skipped { // also if there is damage, which they may explain
		env.stdout.Printf("%s\n", skippedLine(&v.Skipped[i]))
	}
	for _, k := range v.Kept {
		env.stdout.Printf("the log is kept from record %d on, because saga %s is damaged and changes of it are only there\n", k.From, k.Saga)
	}
	switch {
	case errors.Is(err, boltstore.ErrLocked):
		return &exitError{code: ExitFailed, err: err, hint: "a coordinator is running on this directory: make a backup and verify it"}
	case errors.Is(err, store.ErrCorrupt) && !errors.Is(err, log.ErrDamaged):
		return &exitError{code: ExitStoreBroken, err: fmt.Errorf("%s is damaged:\n%w", what, err),
			hint: "all other sagas are unaffected; docs/RUNBOOK.md (AmendsSagasBlocked) explains how to look up the damaged ones in an older backup"}
	case err != nil:
		return err
	}
	env.stdout.Printf("%s: no damage found; %s, %d of them open\n", what, plural.Of(v.Sagas, "saga", "sagas"), v.Open)
	if v.Records > 0 {
		env.stdout.Printf("the log has %s that these numbers do not count; the next start applies them\n", plural.Of(v.Records, "record", "records"))
	}
	if v.Torn > 0 {
		env.stdout.Printf("the log ends with %s of a record that was never acknowledged; the next start discards them\n", plural.Of(v.Torn, "byte", "bytes"))
	}
	return nil
}
