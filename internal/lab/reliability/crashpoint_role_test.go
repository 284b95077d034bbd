//go:build linux && crashpoints && lab

package reliability

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/lab/seam"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/boltinbox"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// The processes that only the crash points need: a bank that keeps its books and its inbox in
// bbolt, and an operator's tool that works on a store or on the dead letters.
const (
	crashRolesEnv = "AMENDS_RELIABILITY_CRASH" // if set, the bank is the one in bbolt
	toolEnv       = "AMENDS_RELIABILITY_TOOL"  // the operation of the tool
	fileEnv       = "AMENDS_RELIABILITY_FILE"  // the file it works on
	targetEnv     = "AMENDS_RELIABILITY_TO"    // the file it writes
)

// init runs the process in one of these roles, if it has one. TestMain handles the others.
func init() { //nolint:gochecknoinits // TestMain belongs to the file that every build has
	if os.Getenv(crashRolesEnv) == "" {
		return
	}
	crashpoint.Use(func(s store.Store) store.Store {
		if os.Getenv(plantEnv) == "hasty" {
			s = &hasty{Store: s}
		}
		return seam.Store(s)
	})
	crashpoint.Use(seam.Claims)
	crashpoint.Use(seam.Inbox[*sql.Tx])
	crashpoint.Use(func(b coordinator.Bus) coordinator.Bus { return seam.Bus(b.(*natsbus.Bus)) })
	crashpoint.Use(func(b transport.Bus) transport.Bus { return seam.Bus(b.(*natsbus.Bus)) })
	var play func(context.Context) error
	switch os.Getenv(roleEnv) {
	case "bank":
		play = playBoltBank
	case "tool":
		play = playTool
	default:
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := play(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Getenv(roleEnv), err)
		os.Exit(1)
	}
	os.Exit(0)
}

// hasty is a planted bug of a store. It reports each commit as durable at once, and commits it
// together with the next one.
type hasty struct {
	store.Store
	mu    sync.Mutex
	owing []store.Change
}

func (h *hasty) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	due := h.owing
	h.owing = slices.Clone(changes)
	if len(due) == 0 {
		return nil, nil
	}
	_, err := h.Store.Commit(ctx, due)
	return nil, err
}

func boltBooksFile(dir string) string { return filepath.Join(dir, "bank.bolt") }

var (
	accountBucket = []byte("account")
	ledgerBucket  = []byte("ledger")
)

// playBoltBank runs the bank that keeps its books in bbolt.
func playBoltBank(ctx context.Context) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := bbolt.Open(boltBooksFile(os.Getenv(dirEnv)), 0o600, &bbolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Update(openBoltBooks); err != nil {
		return err
	}
	connected, err := natsbus.Connect(ctx, natsbus.Config{URL: os.Getenv(urlEnv), Name: "bank", Logger: logger})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	bus := seam.Bus(connected)
	defer bus.Close()
	world.AwaitConsumer(ctx, connected, "bank")
	fmt.Println("ready ")
	p := participant.New("bank", seam.Inbox(boltinbox.New(db)), participant.Logger(logger), participant.AckWait(3*time.Second), participant.Retention(time.Hour))
	participant.Handle(p, world.Reserve, func(ctx context.Context, tx *bbolt.Tx, t world.Transfer) (int, error) {
		left, err := bookBolt(ctx, tx, t.From, -t.Amount)
		if err == nil && left < 0 {
			return 0, participant.Reject("not enough money") // the changes are rolled back
		}
		return t.From, err
	})
	participant.HandleUndo(p, world.Release, func(ctx context.Context, tx *bbolt.Tx, u contract.Undo[world.Transfer, int]) error {
		_, err := bookBolt(ctx, tx, u.Request.From, u.Request.Amount)
		return err
	})
	return p.Run(ctx, bus)
}

// openBoltBooks opens the accounts with their initial balance, unless they exist.
func openBoltBooks(tx *bbolt.Tx) error {
	if tx.Bucket(accountBucket) != nil {
		return nil
	}
	b, err := tx.CreateBucket(accountBucket)
	if err != nil {
		return err
	}
	for i := range world.Accounts {
		if err := b.Put([]byte{byte(i)}, binary.BigEndian.AppendUint64(nil, world.Initial)); err != nil {
			return err
		}
	}
	if err := b.Put([]byte{world.Penury}, make([]byte, 8)); err != nil {
		return err
	}
	_, err = tx.CreateBucket(ledgerBucket)
	return err
}

// entry is a line of the ledger in bbolt.
type entry struct {
	Key, Step, Direction string
	Saga                 contract.SagaID
	Amount               int64
}

// bookBolt changes the balance of an account and writes a ledger line under the idempotency key.
func bookBolt(ctx context.Context, tx *bbolt.Tx, account int, amount int64) (left int64, err error) {
	b := tx.Bucket(accountBucket)
	left = int64(binary.BigEndian.Uint64(b.Get([]byte{byte(account)}))) + amount
	if err := b.Put([]byte{byte(account)}, binary.BigEndian.AppendUint64(nil, uint64(left))); err != nil {
		return 0, err
	}
	key := participant.KeyFrom(ctx)
	data, err := json.Marshal(entry{key.String(), string(key.Step), string(key.Direction), key.Saga, amount})
	if err != nil {
		return 0, err
	}
	ledger := tx.Bucket(ledgerBucket)
	n, err := ledger.NextSequence()
	if err != nil {
		return 0, err
	}
	return left, ledger.Put(binary.BigEndian.AppendUint64(nil, n), data)
}

// readBolt adds the books of the bank in bbolt.
func readBolt(b *world.Books, dir string) error {
	db, err := bbolt.Open(boltBooksFile(dir), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		b.Opening += world.Accounts * world.Initial
		err := tx.Bucket(accountBucket).ForEach(func(_, v []byte) error {
			b.Balance += int64(binary.BigEndian.Uint64(v))
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Bucket(ledgerBucket).ForEach(func(_, v []byte) error {
			var e entry
			if err := json.Unmarshal(v, &e); err != nil {
				return err
			}
			b.Lines = append(b.Lines, world.Line{Participant: "bank", Key: e.Key, Saga: e.Saga, Step: e.Step, Direction: e.Direction, Amount: e.Amount})
			return nil
		})
	})
}

// playTool runs one operation on a store that no process has open, or on the dead letters.
func playTool(ctx context.Context) error {
	file, to := os.Getenv(fileEnv), os.Getenv(targetEnv)
	switch operation := os.Getenv(toolEnv); operation {
	case "restore":
		return restoreStore(ctx, file, to)
	case "replay":
		return replayLetter(ctx, file)
	default:
		return workOn(ctx, file, operation, to)
	}
}

// workOn runs an operation of the tool on a store.
func workOn(ctx context.Context, file, operation, to string) error {
	opened, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		return err
	}
	s := seam.Store(opened)
	return errors.Join(work(ctx, opened, s, operation, to), opened.Verify(ctx), s.Close())
}

func work(ctx context.Context, opened *boltstore.Store, s store.Store, operation, to string) error {
	late := time.Now().Add(time.Hour)
	switch operation {
	case "make":
		return nil
	case "backup":
		f, err := os.Create(to)
		if err != nil {
			return err
		}
		_, err = s.Backup(ctx, f)
		return errors.Join(err, f.Close())
	case "copy":
		return opened.Copy(ctx, to, boltstore.CopyOptions{})
	case "expire":
		_, _, err := s.Expire(ctx, late, time.Time{}, 1000)
		return err
	case "drop":
		_, _, err := s.Expire(ctx, late, late, 1000)
		return err
	}
	return fmt.Errorf("the tool does not know %q", operation)
}

// restoreStore restores a backup. If the file already has its final name from before a crash, it is
// complete.
func restoreStore(ctx context.Context, file, to string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := boltstore.Restore(ctx, seam.Reader(f), to, boltstore.RestoreOptions{}); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return workOn(ctx, to, "make", "")
}

// replayLetter replays the first dead letter.
func replayLetter(ctx context.Context, url string) error {
	connected, err := natsbus.Connect(ctx, natsbus.Config{URL: url, Name: "tool"})
	if err != nil {
		return err
	}
	bus := seam.Bus(connected)
	defer bus.Close()
	list, err := bus.ListDeadLetters(ctx, 0, 1)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("there is no dead letter to replay")
	}
	return bus.ReplayDeadLetter(ctx, list[0].Sequence)
}
