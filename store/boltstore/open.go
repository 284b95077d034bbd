package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store/log"
)

// Errors of Open.
var (
	// ErrLocked means that another process has opened the store.
	ErrLocked = boltfile.ErrLocked
	// ErrLater means that a later release wrote the store.
	ErrLater = errors.New("written by a later release")
	// ErrForeign means that the file is not an Amends store, or not of this release.
	ErrForeign = errors.New("not an Amends store of this release")
	// ErrDamaged means that the state is too damaged to be opened. A damaged log is log.ErrDamaged.
	ErrDamaged = boltfile.ErrDamaged
)

// logPath returns the directory of the log that belongs to the state in a file.
func logPath(path string) string { return path + ".log" }

// Open opens the store whose state is in the file at path and whose log is in the directory path.log,
// and creates both if the file does not exist; its directory must exist. This process locks the file
// until Close.
//
// Open returns ErrLocked if another process has locked the file; ErrDamaged if the state is damaged;
// ErrLater or ErrForeign if this release must not touch it; seal.ErrKey if Options.Keys lacks a key,
// and seal.ErrPlain if keys are given but the store is not sealed. If state and log do not belong
// together, or the log is missing or damaged, it returns the errors of log.Open and log.File.Replay, which say
// which of the two is older. If a record of the log is intact but cannot be applied, it returns
// ErrRecord.
func Open(path string, options Options) (*Store, error) {
	s, err := open(path, options)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	go s.commitLoop()
	go s.checkpointLoop()
	return s, nil
}

func open(path string, options Options) (s *Store, err error) {
	if options, err = options.withDefaults(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := checkUnused(logPath(path)); err != nil {
			return nil, err
		}
		if err := create(path, options); err != nil {
			return nil, fmt.Errorf("create the state: %w", err)
		}
	}
	s = newStore(path, options)
	if s.db, err = openFile(path, options, s.report); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = boltfile.Guard(s.db.Close)
			if s.log != nil {
				_ = s.log.Close()
			}
		}
	}()
	var self *amendsv1.StoreRow
	err = boltfile.Guard(func() error {
		if self, err = s.readState(); err != nil {
			return err
		}
		if err := s.repair(); err != nil {
			return err
		}
		if err := errors.Join(s.readCounts(), s.readEntries()); err != nil {
			return err
		}
		return s.recover(self)
	})
	return s, err
}

// newStore returns a store without a file.
func newStore(path string, options Options) *Store {
	return &Store{
		options:      options,
		info:         Info{Path: path},
		requests:     make(chan *request, MaxQueue),
		hasDiscards:  make(chan struct{}, 1),
		closing:      make(chan struct{}),
		stopped:      make(chan struct{}),
		checkpoints:  make(chan *checkpointRequest),
		large:        make(chan struct{}, 1),
		progress:     make(chan struct{}, 1),
		checkpointed: make(chan struct{}),
		overlay:      newOverlay(),
		entries:      map[string]*value{},
		counts:       map[tally]int{},
		discarded:    map[outbox.ID]struct{}{},
	}
}

// readState reads what the state knows of itself.
func (s *Store) readState() (self *amendsv1.StoreRow, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		if self, err = readSelf(tx); err != nil {
			return err
		}
		return checkKeys(tx, s.options.Keys, self.Sealed)
	})
	if err != nil {
		return nil, err
	}
	s.info = Info{
		ID: self.Store, Incarnation: self.Incarnation, Created: instant(self.CreatedUnixNano), Schema: schemaVersion,
		Sealed: self.Sealed, Path: s.info.Path,
	}
	return self, nil
}

// readSelf checks that the file is a state that this release can use.
func readSelf(tx *bolt.Tx) (*amendsv1.StoreRow, error) {
	if tx.Bucket([]byte(tableMeta.String())) == nil {
		return nil, incomplete(tx, "the table "+tableMeta.String())
	}
	body, err := tableMeta.get(tx, []byte(metaSchema))
	if err != nil {
		return nil, boltfile.Damaged(err)
	}
	switch schema, _ := binary.Uvarint(body); {
	case body == nil:
		return nil, incomplete(tx, "the entry "+metaSchema)
	case schema > schemaVersion:
		return nil, fmt.Errorf("%w: its layout is %d, but this release supports %d: use the later release, or restore a backup "+
			"made by this release", ErrLater, schema, schemaVersion)
	case schema < schemaVersion:
		return nil, fmt.Errorf("%w: its layout is %d, but this release supports only %d: begin with an empty directory",
			ErrForeign, schema, schemaVersion)
	}
	for t := range tables {
		if tx.Bucket([]byte(table(t).String())) == nil {
			return nil, incomplete(tx, "the table "+table(t).String())
		}
	}
	self := new(amendsv1.StoreRow)
	if body, err = tableMeta.get(tx, []byte(metaSelf)); err == nil {
		err = protoconv.Unmarshal(body, self)
	}
	if err != nil || self.Store == "" {
		return nil, boltfile.Damaged(fmt.Errorf("the entry %s: %w", metaSelf, err))
	}
	return self, nil
}

// incomplete returns the error for a file that lacks what every state has. If it has another table of
// a state, it is a damaged state. Otherwise it belongs to another program.
func incomplete(tx *bolt.Tx, missing string) error {
	for t := range tables {
		if table(t) != tableMeta && tx.Bucket([]byte(table(t).String())) != nil {
			return boltfile.Damaged(fmt.Errorf("%s is missing", missing))
		}
	}
	return fmt.Errorf("%w: %s is missing", ErrForeign, missing)
}

// recover opens the log, applies what the state lacks, and begins a new segment.
func (s *Store) recover(self *amendsv1.StoreRow) (err error) {
	mark := markOf(self)
	segment := max(s.options.Log.SegmentSize, log.MinSegmentSize)
	if s.options.Log.SegmentSize == 0 {
		segment = log.DefaultSegmentSize
	}
	s.options.Log.Keep = int(min(max(log.DefaultKeep, 2*s.options.CheckpointSize/segment+1), log.MaxSpares))
	if mark == (log.Mark{}) {
		if mark, err = s.createLog(self); err != nil {
			return err
		}
	} else if s.log, err = log.Open(logPath(s.info.Path), s.options.Log); err != nil {
		return lost(err)
	}
	s.self, s.item, s.mark = self, self.Item, mark
	s.saved, s.savedItem = mark, self.Item
	f := s.follow(self, mark)
	if err = s.log.Replay(mark, func(r log.Record) error { return s.replay(f, &r) }); err != nil {
		return err
	}
	s.item = f.item + f.gap
	for _, o := range s.overlay.damaged() {
		s.report(fmt.Errorf("the log has changes of saga %s that cannot be applied, and is kept until the saga is removed: %w",
			o.id, o.damage))
	}
	crashpoint.Here(crashpoint.Replayed)
	// A store that is opened again and again replays nothing twice, and keeps no more segments than it needs.
	// If the disk is full, the log holds what the state lacks.
	if err := s.checkpoint(nil); err != nil && !boltfile.IsFull(err) {
		return err
	}
	if err := s.log.Begin(max(mark.Epoch, 1)); err != nil {
		return err
	}
	s.log.Release(s.saved.Number)
	return nil
}

// lost explains the error of a state whose log cannot be opened.
func lost(err error) error {
	if errors.Is(err, log.ErrMissing) {
		return fmt.Errorf("the log that belongs to the state is missing; the newest commits are only there: put the directory back with its files, "+
			"or restore a backup: %w", err)
	}
	return err
}

// createLog makes a log for a state that has none: one that is new, or was restored or copied.
func (s *Store) createLog(self *amendsv1.StoreRow) (log.Mark, error) {
	path := logPath(s.info.Path)
	self.Item = max(self.Item, self.LastItem)
	if err := checkUnused(path); err != nil {
		return log.Mark{}, err
	}
	_, err := log.Create(path, s.options.Log)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return log.Mark{}, err
	}
	if s.log, err = log.Open(path, s.options.Log); err != nil {
		return log.Mark{}, err
	}
	crashpoint.Here(crashpoint.LogUnnamed)
	mark := log.Mark{Log: s.log.ID()}
	return mark, s.db.Update(func(tx *bolt.Tx) error { return putSelf(tx, marked(self, mark, self.Item, self.LastItem)) })
}

// checkUnused returns an error if a directory holds a log with records, although no state belongs to it.
func checkUnused(path string) error {
	f, err := log.Open(path, log.Options{})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if errors.Is(err, log.ErrMissing) {
		return fmt.Errorf("%s is where the log of this store goes: move the directory aside: %w", path, err)
	}
	if err == nil {
		var last log.Mark
		if last, _, err = log.Scan(path, log.Mark{Log: f.ID()}, func(log.Record) error { return nil }); err == nil && last.Number == 0 {
			return f.Close()
		}
		err = errors.Join(err, f.Close())
	}
	return fmt.Errorf("%s holds the log of another state, or of one that is lost: put that state back, or move the directory "+
		"aside: %w", path, errors.Join(log.ErrForeign, err))
}

// replay applies a record.
func (s *Store) replay(f *follower, r *log.Record) error {
	items, err := f.next(r)
	if err != nil {
		return err
	}
	if items == nil {
		return s.voidRecord(r)
	}
	entered := map[contract.SagaID]*saga{}
	for _, item := range items.Items {
		if id := contract.SagaID(item.Saga); item.Entry == nil && entered[id] == nil {
			if entered[id], err = s.current(id); err != nil {
				return err
			}
		}
	}
	if err := s.applyReplayed(items, entered); err != nil {
		return s.recordError(r.Number, err)
	}
	s.mark, s.logged = r.Mark, s.logged+int64(len(r.Body))
	return nil
}

// applyReplayed applies items. Its error is a panic, so that the position of the record is reported.
func (s *Store) applyReplayed(items *amendsv1.LogItems, entered map[contract.SagaID]*saga) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	s.apply(items, entered)
	return nil
}

// markOf returns the position in the log that a state names; zero: it has no log yet.
func markOf(self *amendsv1.StoreRow) log.Mark {
	mark := log.Mark{Epoch: self.Epoch, Number: self.Record}
	copy(mark.Log[:], self.Log)
	copy(mark.Hash[:], self.Hash)
	return mark
}

// marked returns what the state says of itself if it follows from the log up to a mark. item is the
// number of the last item up to the mark, and last is not below the number of any item in the state.
func marked(self *amendsv1.StoreRow, mark log.Mark, item, last uint64) *amendsv1.StoreRow {
	m := proto.CloneOf(self)
	m.Log, m.Epoch, m.Record, m.Hash = mark.Log[:], mark.Epoch, mark.Number, mark.Hash[:]
	m.Item, m.LastItem = item, last
	return m
}

func putSelf(tx *bolt.Tx, self *amendsv1.StoreRow) error {
	return tableMeta.put(tx, []byte(metaSelf), mustMarshal(self))
}
