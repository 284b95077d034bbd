package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

type backupCmd struct {
	serverFlags
	keysFlag
	File    string `arg:"" type:"path" help:"File to write the backup to; it must not exist."`
	DataDir string `type:"existingdir" placeholder:"DIR" help:"Back up the store in this directory instead; no coordinator may be running on it."`
}

// Run writes a consistent copy of a store.
func (c *backupCmd) Run(env *environment) error {
	if _, err := os.Lstat(c.File); err == nil {
		return &exitError{code: ExitUsage, err: fmt.Errorf("%s exists; a backup never overwrites a file, name another one", c.File)}
	}
	read := c.online
	if c.DataDir != "" {
		read = c.offline
	}
	seen := newPace(env.stderr, c.File, "byte", "bytes", 0)
	n, err := writeWhole(c.File, func(w io.Writer) (int64, error) { return read(env, io.MultiWriter(w, seen)) })
	if err != nil {
		return err
	}
	env.stdout.Printf("%s: %s\n", c.File, plural.Of(n, "byte", "bytes"))
	return nil
}

// online reads the backup from the running coordinator.
func (c *backupCmd) online(env *environment, w io.Writer) (int64, error) {
	t, err := c.target()
	if err != nil {
		return 0, err
	}
	client, err := t.transport()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(env.ctx)
	defer cancel(nil)
	asks := func() (stop func()) { // time spent writing to the disk does not count towards the timeout
		if c.Timeout <= 0 {
			return func() {}
		}
		quiet := env.waits("the coordinator at "+t.server, c.Timeout)
		limit := time.AfterFunc(c.Timeout, func() { cancel(context.DeadlineExceeded) })
		return func() { limit.Stop(); quiet() }
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.server+"/backup", nil)
	if err != nil {
		return 0, &exitError{code: ExitUsage, err: err}
	}
	answered := asks()
	response, err := client.Do(request)
	answered()
	if known, ok := errors.AsType[*exitError](err); ok {
		return 0, known
	}
	if err != nil && ctx.Err() != nil {
		return 0, refused(env.ctx, tooQuiet(ctx, err), t)
	}
	if err != nil {
		return 0, &exitError{code: ExitNotReachable, err: err, hint: "name a running coordinator with --server, or the data directory of a stopped one with --data-dir"}
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return 0, fmt.Errorf("the coordinator answered %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	to := &copied{to: w}
	n, err := io.Copy(to, &awaited{response.Body, asks})
	switch {
	case to.err == nil && err != nil && ctx.Err() != nil:
		return n, refused(env.ctx, tooQuiet(ctx, err), t)
	case to.err != nil:
		return n, to.err
	case err != nil:
		return n, fmt.Errorf("the connection ended before the backup was complete: %w; see the coordinator's log", err)
	}
	return n, nil
}

// copied wraps a writer and records the writer's error, so that the error is not mistaken for an
// error of the reader.
type copied struct {
	to  io.Writer
	err error
}

func (c *copied) Write(p []byte) (n int, err error) {
	n, err = c.to.Write(p)
	c.err = errors.Join(c.err, err)
	return n, err
}

// awaited is a reader that calls begin before each read, and stop after it.
type awaited struct {
	from  io.Reader
	begin func() (stop func())
}

func (a *awaited) Read(p []byte) (int, error) {
	defer a.begin()()
	return a.from.Read(p)
}

// offline copies the store of a coordinator that is not running.
func (c *backupCmd) offline(env *environment, w io.Writer) (n int64, err error) {
	keys, err := c.keys()
	if err != nil {
		return 0, &exitError{code: ExitUsage, err: err}
	}
	s, err := openStore(c.DataDir, keys, "leave out --data-dir to back it up online")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Backup(env.ctx, w)
}

// writeWhole writes a file atomically: either it is complete and synced to disk, or it does not
// exist.
func writeWhole(path string, write func(io.Writer) (int64, error)) (n int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if n, err = write(f); err != nil {
		return n, err
	}
	if err = f.Sync(); err != nil {
		return n, err
	}
	if err = f.Close(); err != nil {
		return n, err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return n, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return n, err
	}
	defer func() { _ = dir.Close() }()
	return n, dir.Sync() // syncs the directory entry
}

type restoreCmd struct {
	keysFlag
	File          string `arg:"" type:"existingfile" help:"The backup."`
	DataDir       string `env:"AMENDS_DATA_DIR" type:"path" default:"data" help:"Data directory; it is created, or must have no sagas.db."`
	AcceptDamaged bool   `help:"Accept a backup with damaged records: their sagas stay stuck, all others continue."`
}

// Help says what happens to the files, and to sagas that the backup does not have.
func (restoreCmd) Help() string {
	return `Checks every record of the backup, and then gives it its name, sagas.db. The store gets a new log at its first
start; a log that is in the directory already is renamed to sagas.db.log.before-restore-1 (2, 3, ...), and nothing is
deleted. The new file belongs to the user who runs the command, and the coordinator must be able to write to it.

Sagas continue from their state in the backup. Those that were accepted later are lost, but their effects are not:
docs/OPERATING.md, "When the machine is lost", says how to fence the old coordinator and find them.

Examples:
  coordinator verify amends-2026-11-21.db && coordinator restore amends-2026-11-21.db --data-dir /var/lib/amends-new
  coordinator serve --data-dir /var/lib/amends-new --take-over      # if another store owned the prefix, and is stopped`
}

// Run restores a backup into a data directory.
func (c *restoreCmd) Run(env *environment) error {
	err := c.restore(env)
	if server.FullDisk(err) {
		return &exitError{code: ExitStoreBroken, err: err, hint: "make room on the disk, or restore to another disk with --data-dir; no partial file was left behind"}
	}
	return err
}

func (c *restoreCmd) restore(env *environment) error {
	path := filepath.Join(c.DataDir, server.StoreFile)
	if _, err := os.Lstat(path); err == nil {
		return &exitError{code: ExitUsage, err: fmt.Errorf("%s exists and is not overwritten; move it away first", path)}
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	keys, err := c.keys()
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	options := boltstore.RestoreOptions{Keys: keys}
	if c.AcceptDamaged {
		options.OnDamaged = func(err error) { env.stderr.Printf("restored although damaged: %v\n", err) }
	}
	if err := restoreFile(env, c.File, path, options); err != nil {
		if errors.Is(err, store.ErrCorrupt) && !errors.Is(err, boltstore.ErrBackup) {
			return &exitError{code: ExitStoreBroken, err: err, hint: "restore an older backup, or this one with --accept-damaged: the sagas named above then stay stuck, all others continue"}
		}
		return err
	}
	env.stdout.Printf("restored %s; start it with: coordinator serve --data-dir %s\n", path, c.DataDir)
	return nil
}

// restoreFile restores a backup from file to path, and reports progress.
func restoreFile(env *environment, file, path string, options boltstore.RestoreOptions) error {
	backup, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = backup.Close() }()
	info, err := backup.Stat()
	if err != nil {
		return err
	}
	seen := newPace(env.stderr, path, "byte", "bytes", info.Size())
	return boltstore.Restore(env.ctx, io.TeeReader(backup, seen), path, options)
}
