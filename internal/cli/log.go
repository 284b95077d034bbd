package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/store/boltstore"
)

type logCmd struct {
	Skip logSkipCmd `cmd:"" help:"Make a record void that cannot be applied, so that the store opens."`
}

type logSkipCmd struct {
	keysFlag
	Position uint64 `arg:"" help:"The record's number, as in the error of serve."`
	Reason   string `required:"" help:"Why you do this, recorded in the store."`
	By       string `env:"AMENDS_BY" help:"Your name, recorded in the store."`
	DataDir  string `env:"AMENDS_DATA_DIR" type:"existingdir" default:"data" help:"Data directory of the store; no coordinator may be running on it."`
}

// Help explains the consequences.
func (logSkipCmd) Help() string {
	return `For a store that does not open, because a record of its log is intact but cannot be applied: by an error in a
release, or because a later release wrote it (docs/RUNBOOK.md, "A record that cannot be applied"). Refused for any
other record. What the record changed is lost: its sagas count as damaged, which means that they stop, are listed with
their damage, and can be removed (coordinator remove-damaged). All other sagas continue at the next start.
The reason is not encrypted. There is no way back, except to a copy of the data directory: make one first.

Examples:
  cp -aL /var/lib/amends amends-copy     # -L: in the packages it is a symbolic link
  coordinator log skip 4711 --reason 'ticket 1234' --by ada --data-dir /var/lib/amends     # with the coordinator stopped`
}

// Run makes a record void.
func (c *logSkipCmd) Run(env *environment) error {
	keys, err := c.keys()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	path, err := ownStore(c.DataDir)
	if err != nil {
		return err
	}
	v, err := boltstore.Skip(path, c.Position, c.Reason, c.By, boltstore.Options{Keys: keys})
	switch {
	case errors.Is(err, boltstore.ErrNotSkipped):
		return &exitError{code: ExitFailed, err: err, hint: "skip only the record that the error of serve, or of verify --data-dir, names"}
	case err != nil:
		return inUse(err, "stop it first")
	}
	env.stdout.Printf("%s\n", skippedLine(&v))
	for _, id := range v.Sagas {
		env.stdout.Printf("damaged: saga %s\n", id)
	}
	for _, entry := range v.Entries {
		env.stdout.Printf("lost: entry of table %s\n", entry)
	}
	env.stdout.Printf("%s can be told; others that it changed show their damage later: see coordinator list after the start\n",
		plural.Of(len(v.Sagas), "saga", "sagas"))
	return nil
}

// skippedLine describes a record that was made void.
func skippedLine(v *boltstore.Skipped) string {
	by := ""
	if v.By != "" {
		by = " by " + v.By
	}
	return fmt.Sprintf("record %d of the log was skipped at %s%s: %s", v.Number, v.At.UTC().Format(time.RFC3339), by, v.Reason)
}
