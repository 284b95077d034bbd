package daemon

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// keeper claims the prefix for the daemon's store.
func (d *daemon) keeper(registry ownership.Registry) *ownership.Keeper {
	host, _ := os.Hostname() // for people
	prefix := d.Prefix
	if prefix == "" {
		prefix = transport.DefaultPrefix
	}
	me := ownership.Claim{
		Prefix: prefix, Incarnation: strings.ToLower(rand.Text()), Host: host, Boot: bootID(), File: fileID(filepath.Join(d.DataDir, StoreFile)), Version: d.Version,
	}
	if d.listen != nil {
		me.Address = d.scheme() + d.listen.Addr().String()
	}
	return ownership.New(ownership.Config{
		Registry: registry, Memory: d.store, Me: me, TakeOver: d.TakeOver, Alone: d.server != nil,
		Clock: bootTime, Now: time.Now,
	})
}

// listMoved writes down which sagas were accepted or moved here since it was last certain
// that the prefix was ours: whoever has it now may know nothing of that.
func (d *daemon) listMoved(since time.Time, moved []string) {
	name := filepath.Join(d.DataDir, "replaced-"+time.Now().UTC().Format("20060102T150405Z")+".txt")
	err := d.writeMoved(name, since, moved)
	attrs := []any{slog.Time("since", since), slog.Int("sagas", len(moved)), slog.String("list", name)}
	if err != nil {
		d.Logger.Error("another store has the prefix now; the list of what was accepted or moved here since it was last certain is not complete", append(attrs, slog.Any("error", err))...)
		return
	}
	d.Logger.Error("another store has the prefix now; what was accepted or moved here since it was last certain is listed. The data directory is kept: docs/OPERATING.md#one-store-one-owner", attrs...)
}

func (d *daemon) writeMoved(name string, since time.Time, moved []string) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
	_, _ = fmt.Fprintf(w, "# Sagas that this store has accepted or moved since %s, when it was last certain to be the owner.\n", since.UTC().Format(time.RFC3339))
	for _, id := range moved {
		in, err := d.store.Load(context.Background(), saga.ID(id))
		if err != nil { // it ended, and retention was quick; or it is damaged
			_, _ = fmt.Fprintf(w, "%s\t%v\n", id, err)
			continue
		}
		what := "moved"
		if !in.Started.Before(since) {
			what = "accepted"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\trevision %d\tupdated %s\n", id, what, in.Definition, in.Phase, in.Revision, in.Updated.UTC().Format(time.RFC3339))
	}
	return nil
}
