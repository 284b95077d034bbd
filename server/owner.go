package server

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

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
)

// keeper returns the Keeper of the server's claim on the prefix.
func (s *Server) keeper(registry ownership.Registry) *ownership.Keeper {
	host, _ := os.Hostname() // only for people
	prefix := s.config.Prefix
	if prefix == "" {
		prefix = transport.DefaultPrefix
	}
	me := ownership.Claim{Prefix: prefix, Incarnation: strings.ToLower(rand.Text()), Host: host, Boot: bootID(), Version: s.config.Version}
	if s.config.Store == nil {
		me.File = fileID(filepath.Join(s.config.DataDir, StoreFile))
	}
	if s.listen != nil {
		me.Address = s.scheme() + s.listen.Addr().String()
	}
	return ownership.New(ownership.Config{
		Registry: crashpoint.Wrap(registry), Store: s.store, Me: me, TakeOver: s.config.TakeOver, Exclusive: s.server != nil,
		Clock: bootTime, Now: time.Now,
	})
}

// listMoved writes a list of the sagas that were accepted or changed here since the claim was last
// confirmed. The new owner of the prefix may not know about these changes.
func (s *Server) listMoved(since time.Time, moved []string) {
	if s.config.DataDir == "" {
		s.config.Logger.Error("another store owns the prefix now; there is no data directory, so this line lists the sagas that were accepted or changed here since this store's claim was last confirmed; see docs/OPERATING.md#one-store-one-owner",
			slog.Time("since", since), slog.Int("sagas", len(moved)), slog.Any("list", moved))
		return
	}
	name := filepath.Join(s.config.DataDir, "replaced-"+time.Now().UTC().Format("20060102T150405Z")+".txt")
	err := s.writeMoved(name, since, moved)
	attrs := []any{slog.Time("since", since), slog.Int("sagas", len(moved)), slog.String("list", name)}
	if err != nil {
		s.config.Logger.Error("another store owns the prefix now; the list of the sagas that were accepted or changed here since this store's claim was last confirmed is incomplete", append(attrs, slog.Any("error", err))...)
		return
	}
	s.config.Logger.Error("another store owns the prefix now; the sagas that were accepted or changed here since this store's claim was last confirmed are listed in a file, and the data directory is kept; see docs/OPERATING.md#one-store-one-owner", attrs...)
}

func (s *Server) writeMoved(name string, since time.Time, moved []string) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
	_, _ = fmt.Fprintf(w, "# Sagas that this store has accepted or changed since %s, when its claim was last confirmed.\n", since.UTC().Format(time.RFC3339))
	for _, id := range moved {
		in, err := s.store.Load(context.Background(), contract.SagaID(id))
		if err != nil { // the saga ended and was removed, or it is damaged
			_, _ = fmt.Fprintf(w, "%s\t%v\n", id, err)
			continue
		}
		what := "changed"
		if !in.Started.Before(since) {
			what = "accepted"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\trevision %d\tupdated %s\n", id, what, in.Definition, in.Phase, in.Revision, in.Updated.UTC().Format(time.RFC3339))
	}
	return nil
}
