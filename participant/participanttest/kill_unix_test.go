//go:build unix

package participanttest_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/boltinbox"
	"github.com/amends-dev/amends/participant/sqlinbox"
	"github.com/amends-dev/amends/transport"
)

// charge is the command during which the process is killed.
var charge = contract.NewCommand[string, string]("payment", "charge")

// Environment variable of the child process, and the points at which it kills itself.
const (
	killEnv      = "AMENDS_TEST_KILL" // its value is the point and the inbox
	fileEnv      = "AMENDS_TEST_FILE"
	beforeCommit = "before-commit" // in the handler
	afterCommit  = "after-commit"  // before the answer is received
)

func TestMain(m *testing.M) {
	if moment := os.Getenv(killEnv); moment != "" {
		die(moment, os.Getenv(fileEnv))
	}
	os.Exit(m.Run())
}

// ledger is a participant with its data in a file, and the number of its charges.
type ledger struct {
	answer  func(context.Context, *transport.Envelope) (*transport.Envelope, error)
	charged func() int
	close   func() error
}

// ledgers holds functions that open a ledger in a file. Its handler calls hook.
var ledgers = map[string]func(file string, hook func()) (ledger, error){"sqlite": sqliteLedger, "bolt": boltLedger}

// TestKilled kills a process while it answers a command. Another process then answers the command
// with the same file (I5). It repeats a committed answer, and computes an uncommitted one.
func TestKilled(t *testing.T) {
	for kind, open := range ledgers {
		for moment, before := range map[string]int{beforeCommit: 0, afterCommit: 1} {
			t.Run(kind+" "+moment, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "service")
				child := exec.CommandContext(t.Context(), os.Args[0])
				child.Env = append(os.Environ(), killEnv+"="+moment+" "+kind, fileEnv+"="+file)
				out, err := child.CombinedOutput()
				if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
					t.Fatalf("the child was not killed: %v\n%s", err, out)
				}

				l, err := open(file, func() {})
				if err != nil {
					t.Fatal(err)
				}
				defer l.close()
				if got := l.charged(); got != before {
					t.Fatalf("after the kill %d times charged, expected %d", got, before)
				}
				answer, err := l.answer(t.Context(), chargeCommand(2))
				if err != nil || answer.Type != transport.TypeCompleted {
					t.Fatalf("redelivered: %+v, %v", answer, err)
				}
				if receipt, err := os.ReadFile(file + ".answer"); moment == afterCommit && (err != nil || string(receipt) != string(answer.Data)) {
					t.Errorf("the killed process had answered %s, this one %s (%v)", receipt, answer.Data, err)
				}
				if got := l.charged(); got != 1 {
					t.Errorf("%d times charged, expected once", got)
				}
			})
		}
	}
}

// die runs in the child process. It answers the command, and kills itself at the given point.
func die(instruction, file string) {
	var moment, kind string
	_, _ = fmt.Sscan(instruction, &moment, &kind)
	kill := func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	l, err := ledgers[kind](file, func() {
		if moment == beforeCommit {
			kill()
		}
	})
	if err == nil {
		var answer *transport.Envelope
		if answer, err = l.answer(context.Background(), chargeCommand(1)); err == nil {
			err = os.WriteFile(file+".answer", answer.Data, 0o600)
			kill()
		}
	}
	fmt.Println("not killed:", err)
	os.Exit(1)
}

func chargeCommand(attempt int) *transport.Envelope {
	key := contract.Key{Saga: "order-42", Birth: 7, Step: "charge", Direction: contract.DirectionDo}
	return &transport.Envelope{
		Subject: transport.Subjects{}.Command("payment", "charge"), Type: transport.TypeCommand,
		Saga: key.Saga, Birth: key.Birth, Step: key.Step, Direction: key.Direction, Attempt: attempt,
		ReplyTo: transport.Subjects{}.Event("payment", key, attempt), Data: []byte(`"card"`),
	}
}

func sqliteLedger(file string, hook func()) (l ledger, err error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return l, err
	}
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS charge (card TEXT)"); err != nil {
		return l, err
	}
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	if err := inbox.Migrate(context.Background()); err != nil {
		return l, err
	}
	p := participant.New("payment", inbox)
	participant.Handle(p, charge, func(ctx context.Context, tx *sql.Tx, card string) (string, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO charge VALUES (?)", card)
		hook()
		return uuid.NewString(), err
	})
	return ledger{p.Answer, func() (n int) {
		if err := db.QueryRow("SELECT count(*) FROM charge").Scan(&n); err != nil {
			panic(err)
		}
		return n
	}, db.Close}, nil
}

func boltLedger(file string, hook func()) (l ledger, err error) {
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		return l, err
	}
	charges := []byte("charges")
	p := participant.New("payment", boltinbox.New(db))
	participant.Handle(p, charge, func(_ context.Context, tx *bbolt.Tx, card string) (string, error) {
		b, err := tx.CreateBucketIfNotExists(charges)
		if err != nil {
			return "", err
		}
		n, err := b.NextSequence()
		if err != nil {
			return "", err
		}
		err = b.Put(binary.BigEndian.AppendUint64(nil, n), []byte(card))
		hook()
		return uuid.NewString(), err
	})
	return ledger{p.Answer, func() (n int) {
		_ = db.View(func(tx *bbolt.Tx) error {
			if b := tx.Bucket(charges); b != nil {
				n = b.Stats().KeyN
			}
			return nil
		})
		return n
	}, db.Close}, nil
}
