package seam

import (
	"context"
	"io"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// around records the start of a call, and returns a function that records its end.
func around(seam, call string) (end func()) {
	crashpoint.Here(crashpoint.Before(seam, call))
	return func() { crashpoint.Here(crashpoint.After(seam, call)) }
}

// Store wraps a store that was just opened.
func Store(s store.Store) store.Store {
	crashpoint.Here(crashpoint.After("store", "Open"))
	return sagas{s}
}

type sagas struct{ store.Store }

func (s sagas) Definitions(ctx context.Context) ([]store.Definition, error) {
	defer around("store", "Definitions")()
	return s.Store.Definitions(ctx)
}

func (s sagas) PutDefinition(ctx context.Context, d store.Definition) error {
	defer around("store", "PutDefinition")()
	return s.Store.PutDefinition(ctx, d)
}

func (s sagas) Clock(ctx context.Context) (store.Clock, error) {
	defer around("store", "Clock")()
	return s.Store.Clock(ctx)
}

func (s sagas) LoadClaim(ctx context.Context) (ownership.SavedClaim, error) {
	defer around("store", "LoadClaim")()
	return s.Store.LoadClaim(ctx)
}

func (s sagas) SaveClaim(ctx context.Context, o ownership.SavedClaim) error {
	defer around("store", "SaveClaim")()
	return s.Store.SaveClaim(ctx, o)
}

func (s sagas) Counts(ctx context.Context) ([]store.Count, error) {
	defer around("store", "Counts")()
	return s.Store.Counts(ctx)
}

func (s sagas) Destinations(ctx context.Context) (map[outbox.Destination]int, error) {
	defer around("store", "Destinations")()
	return s.Store.Destinations(ctx)
}

func (s sagas) Pending(ctx context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error {
	defer around("store", "Pending")()
	return s.Store.Pending(ctx, to, after, func(at outbox.Position, r outbox.Record) bool {
		defer around("store", "Record")()
		return yield(at, r)
	})
}

func (s sagas) Load(ctx context.Context, id contract.SagaID) (*machine.Instance, error) {
	defer around("store", "Load")()
	return s.Store.Load(ctx, id)
}

func (s sagas) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	defer around("store", "Commit")()
	return s.Store.Commit(ctx, changes)
}

func (s sagas) Discard(ctx context.Context, ids []outbox.ID) error {
	defer around("store", "Discard")()
	return s.Store.Discard(ctx, ids)
}

func (s sagas) Due(ctx context.Context, now time.Time, limit int) ([]contract.SagaID, time.Time, error) {
	crashpoint.Here(crashpoint.Before("store", "Due"))
	ids, next, err := s.Store.Due(ctx, now, limit)
	if len(ids) > 0 {
		crashpoint.Here(crashpoint.After("store", "Due"))
	}
	return ids, next, err
}

func (s sagas) Expire(ctx context.Context, endedBefore, dropTombstones time.Time, limit int) (removed, dropped int, err error) {
	defer around("store", "Expire")()
	return s.Store.Expire(ctx, endedBefore, dropTombstones, limit)
}

func (s sagas) List(ctx context.Context, filter store.Filter, page store.Page) ([]store.Summary, string, error) {
	defer around("store", "List")()
	return s.Store.List(ctx, filter, page)
}

func (s sagas) History(ctx context.Context, id contract.SagaID, from uint64, limit int) ([]machine.Event, error) {
	defer around("store", "History")()
	return s.Store.History(ctx, id, from, limit)
}

func (s sagas) Check(ctx context.Context) error {
	defer around("store", "Check")()
	return s.Store.Check(ctx)
}

func (s sagas) Backup(ctx context.Context, w io.Writer) (int64, error) {
	defer around("store", "Backup")()
	return s.Store.Backup(ctx, Writer(w))
}

func (s sagas) Close() error {
	defer around("store", "Close")()
	return s.Store.Close()
}

// Writer wraps the writer of a backup.
func Writer(w io.Writer) io.Writer { return writer{w} }

// Reader wraps the reader of a backup.
func Reader(r io.Reader) io.Reader { return reader{r} }

type writer struct{ io.Writer }

func (w writer) Write(p []byte) (int, error) {
	defer around("backup", "Write")()
	return w.Writer.Write(p)
}

type reader struct{ io.Reader }

func (r reader) Read(p []byte) (int, error) {
	defer around("backup", "Read")()
	return r.Reader.Read(p)
}
