package boltstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/seal"
)

// A backup has these parts, with their sizes in bytes:
//
//	magic (8) · size of the state (8) · CRC32C of both (4) · the state · SHA-256 of all before (32) · magic (8)
//
// The checksums reveal a truncated or changed backup, and a file that is no backup, before anything is
// restored. Numbers are big endian.
const (
	backupBegin = "AMENDSB2"
	backupEnd   = "AMENDSE2"
)

// ErrBackup means that the data is not a complete backup of an Amends store of this release.
var ErrBackup = errors.New("not a complete backup of an Amends store of this release")

// ErrSlowBackup means that a backup was given up, because its reader was too slow for a busy store.
var ErrSlowBackup = errors.New("the backup's reader is too slow: write the backup to a fast disk near the coordinator, and copy it from there")

// Backup implements store.Store. It writes a checkpoint, and then copies the state as the checkpoint
// left it, while commits and further checkpoints go on. Meanwhile the state's file grows by up to all that
// they write, because no page is freed before the backup ends; afterwards this space is used again. The
// error is ErrSlowBackup if the file has grown by a gigabyte and to twice its size, or if a checkpoint has
// waited for the backup for ten seconds, because the file has to outgrow Options.MapSize. When the backup is
// given up, or ctx ends, Backup releases what it holds; it returns once w.Write has returned.
func (s *Store) Backup(ctx context.Context, w io.Writer) (int64, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// With the pipe, the snapshot ends with ctx even if w stands still.
	r, p := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(struct{ io.Writer }{w}, r)
		_ = r.CloseWithError(err)
		copied <- err
	}()
	defer context.AfterFunc(ctx, func() { _ = p.CloseWithError(context.Cause(ctx)) })()
	out := &backupWriter{w: p, hash: sha256.New()}
	// bbolt does not wrap the writer's error, so that error is taken from the writer.
	err := cmp.Or(boltfile.Guard(func() error { return s.backup(ctx, cancel, out) }), out.err)
	_ = p.CloseWithError(err) // nil is the end of the file
	if err = cmp.Or(context.Cause(ctx), out.err, err, <-copied); err != nil {
		return out.n, fmt.Errorf("back up %s: %w", s.info.Path, err)
	}
	return out.n, nil
}

func (s *Store) backup(ctx context.Context, cancel context.CancelCauseFunc, out *backupWriter) (err error) {
	var tx *bolt.Tx
	begin := func() (err error) {
		tx, err = s.db.Begin(false)
		return err
	}
	err = s.onCheckpointer(ctx, func() error { return s.checkpoint(begin) }, func() { _ = tx.Rollback() })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	go s.limitBackup(ctx, cancel, tx.Size())
	header := binary.BigEndian.AppendUint64([]byte(backupBegin), uint64(tx.Size()))
	header = binary.BigEndian.AppendUint32(header, crc32.Checksum(header, castagnoli))
	if _, err := out.Write(header); err != nil {
		return err
	}
	if _, err := tx.WriteTo(out); err != nil {
		return err
	}
	crashpoint.Here(crashpoint.BackupOpen)
	_, err = out.Write(append(out.hash.Sum(nil), backupEnd...))
	return err
}

// limitBackup cancels a backup of a state of the given size when the store closes, and if the store cannot go
// on beside it.
func (s *Store) limitBackup(ctx context.Context, cancel context.CancelCauseFunc, size int64) {
	tick := time.NewTicker(s.options.backupCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.closing:
			cancel(store.ErrClosed)
			return
		case <-tick.C:
		}
		if began := s.updating.Load(); began != 0 && time.Since(time.Unix(0, began)) > s.options.backupWait {
			cancel(fmt.Errorf("a checkpoint has waited for it for %s: %w", s.options.backupWait, ErrSlowBackup))
			return
		}
		if grown := s.Stats().StateBytes - size; grown > max(size, s.options.backupGrowth) {
			cancel(fmt.Errorf("the state's file has grown by %s meanwhile: %w", plural.Of(int(grown), "byte", "bytes"), ErrSlowBackup))
			return
		}
	}
}

// backupWriter hashes the data that it writes to w.
type backupWriter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
	err  error // the first error
}

func (b *backupWriter) Write(p []byte) (n int, err error) {
	n, err = b.w.Write(p)
	b.hash.Write(p[:n])
	b.n += int64(n)
	b.err = cmp.Or(b.err, err)
	return n, err
}

// RestoreOptions configures how a backup is restored. The zero value is for a backup that is neither
// sealed nor damaged.
type RestoreOptions struct {
	Keys     *seal.Keys        // the keys that decrypt a sealed backup; nil if the backup is not sealed
	Progress func(bytes int64) // is called with the number of bytes read so far; may be nil

	// OnDamaged is called with an error for each damaged row of the backup, at most 100. These rows
	// stay damaged in the restored store: their sagas cannot continue, but other sagas can. If
	// OnDamaged is nil, Restore refuses a backup with damaged rows.
	OnDamaged func(error)
}

// Restore creates a store from a backup in a file that must not exist yet. It writes a temporary file,
// verifies every row, and only then renames the file. The store keeps its id, and its incarnation is
// incremented. It gets a new log when it is opened; a log that is in the way is renamed.
//
// Restore returns ErrBackup if r is not a complete backup, os.ErrExist if a file exists at path, and
// seal.ErrKey if a key is missing. It returns seal.ErrPlain if keys are given for a backup that is not
// sealed; restore such a backup without keys and seal the restored store with Copy. It returns
// store.ErrCorrupt if the structure is damaged, or if rows are damaged and OnDamaged is nil.
func Restore(ctx context.Context, r io.Reader, path string, options RestoreOptions) error {
	if err := restore(ctx, r, path, &options); err != nil {
		return fmt.Errorf("restore store %s: %w", path, err)
	}
	return nil
}

func restore(ctx context.Context, r io.Reader, path string, options *RestoreOptions) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: move it away first; a restore never replaces a store", os.ErrExist)
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := boltfile.Create(path, ".restoring-", func(temporary string) error {
		if err := receive(ctx, r, temporary, options.Progress); err != nil {
			return err
		}
		crashpoint.Here(crashpoint.RestoreReceived)
		err := detach(ctx, temporary, options)
		if err == nil {
			crashpoint.Here(crashpoint.RestoreUnnamed)
		}
		return err
	})
	if err != nil {
		return err
	}
	crashpoint.Here(crashpoint.RestoreNamed)
	// Only now is it certain that no other process uses this store.
	if err := moveAside(logPath(path)); err != nil {
		return err
	}
	return boltfile.SyncDir(filepath.Dir(path))
}

// moveAside renames a log that belongs to another state, if there is one.
func moveAside(path string) error {
	for n := 1; ; n++ {
		aside := fmt.Sprintf("%s.before-restore-%d", path, n)
		if _, err := os.Lstat(aside); err == nil {
			continue
		}
		if err := os.Rename(path, aside); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
}

// receive extracts the state from a backup and checks that the backup is complete.
func receive(ctx context.Context, r io.Reader, path string, progress func(int64)) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	header := make([]byte, len(backupBegin)+12)
	if _, err := io.ReadFull(r, header); err != nil {
		return fmt.Errorf("%w: the file ends within its header", ErrBackup)
	}
	size := int64(binary.BigEndian.Uint64(header[8:]))
	if string(header[:8]) != backupBegin || binary.BigEndian.Uint32(header[16:]) != crc32.Checksum(header[:16], castagnoli) || size <= 0 {
		return fmt.Errorf("%w: the file does not begin with the header of a backup", ErrBackup)
	}
	sum.Write(header)
	buffer := make([]byte, 1<<20)
	for done := int64(0); done < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buffer[:min(int64(len(buffer)), size-done)]
		n, err := io.ReadFull(r, part)
		if err != nil {
			return fmt.Errorf("%w: the file ends after byte %d of %d: %w", ErrBackup, done+int64(n), size, err)
		}
		sum.Write(part)
		if _, err := f.Write(part); err != nil {
			return err
		}
		if done += int64(n); progress != nil {
			progress(done)
		}
	}
	trailer := make([]byte, sha256.Size+len(backupEnd))
	if _, err := io.ReadFull(r, trailer); err != nil {
		return fmt.Errorf("%w: the file ends within its trailer", ErrBackup)
	}
	if string(trailer) != string(sum.Sum(nil))+backupEnd {
		return fmt.Errorf("%w: its checksum is wrong: the file was changed after it was written", ErrBackup)
	}
	return f.Sync()
}

// detach verifies a restored state, increments the store's incarnation, and cuts the state off from its
// log.
func detach(ctx context.Context, path string, options *RestoreOptions) (err error) {
	var damage []error
	o := Options{MapSize: 1, CheckLimit: math.MaxInt64, Keys: options.Keys, OnCorrupt: func(err error) { damage = append(damage, err) }}
	if o, err = o.withDefaults(); err != nil {
		return err
	}
	s := newStore(path, o)
	if s.db, err = openFile(path, o, s.report); err != nil {
		return err
	}
	err = boltfile.Guard(func() error {
		self, err := s.readState()
		if err != nil {
			return err
		}
		findings, err := s.verify(ctx)
		damage = append(damage, findings...)
		if err != nil || len(damage) > 0 && options.OnDamaged == nil {
			return errors.Join(append(damage, err)...)
		}
		for _, err := range damage {
			options.OnDamaged(err)
		}
		self.Incarnation++
		self = marked(self, log.Mark{}, self.LastItem, self.LastItem)
		self.Log, self.Hash = nil, nil
		return s.db.Update(func(tx *bolt.Tx) error { return putSelf(tx, self) })
	})
	return errors.Join(err, boltfile.Guard(s.db.Close))
}
