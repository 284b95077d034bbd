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
	"github.com/amends-dev/amends/store"
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
		Prefix: prefix, Incarnation: strings.ToLower(rand.Text()), Host: host, Boot: bootID(), Directory: directoryID(d.DataDir), Version: d.Version,
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
func (d *daemon) listMoved(since time.Time) {
	name := filepath.Join(d.DataDir, "replaced-"+time.Now().UTC().Format("20060102T150405Z")+".txt")
	n, err := d.writeMoved(name, since)
	attrs := []any{slog.Time("since", since), slog.Int("sagas", n), slog.String("list", name)}
	if err != nil {
		d.Logger.Error("another store has the prefix now; the list of what was accepted or moved here since it was last certain is not complete", append(attrs, slog.Any("error", err))...)
		return
	}
	d.Logger.Error("another store has the prefix now; what was accepted or moved here since it was last certain is listed. The data directory is kept: docs/OPERATING.md#one-store-one-owner", attrs...)
}

func (d *daemon) writeMoved(name string, since time.Time) (n int, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
	_, _ = fmt.Fprintf(w, "# Sagas that this store has accepted or moved since %s, when it was last certain to be the owner.\n", since.UTC().Format(time.RFC3339))
	for cursor := ""; ; {
		page, next, err := d.store.List(context.Background(), store.Filter{}, store.Page{Limit: store.MaxPage, Cursor: cursor})
		if err != nil {
			return n, err
		}
		for i := range page {
			s := &page[i]
			if s.Updated.Before(since) {
				continue
			}
			what := "moved"
			if !s.Started.Before(since) {
				what = "accepted"
			}
			n++
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\trevision %d\tupdated %s\n", s.ID, what, s.Definition, s.Phase, s.Revision, s.Updated.UTC().Format(time.RFC3339))
		}
		if cursor = next; cursor == "" {
			return n, nil
		}
	}
}
