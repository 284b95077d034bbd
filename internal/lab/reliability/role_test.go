//go:build linux && lab

package reliability

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the participants' databases

	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/servertest"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/sqlinbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// play is a process: it says on standard output when it is ready, and where.
func play(ctx context.Context, role string) error {
	dir, url := os.Getenv(dirEnv), os.Getenv(urlEnv)
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ready := func(where string) { fmt.Println("ready", where) }
	switch role {
	case "bus":
		return playBus(ctx, dir, ready)
	case "coordinator":
		return servertest.Run(ctx, server.Config{
			DataDir: dir, NATS: server.NATS{URL: url}, Definitions: []*saga.Definition{transferMoney}, Logger: logger,
			TakeOver: os.Getenv(takeOverEnv) != "",
		}, func(server.Addresses) { ready("") })
	case "serve": // as a person starts it
		os.Exit(cli.Run(ctx, []string{"serve", "--data-dir", dir, "--nats-url", url, "--http", ""}, os.Stdin, os.Stdout, os.Stderr))
		return nil
	default:
		return playParticipant(ctx, role, dir, url, logger, ready)
	}
}

func playBus(ctx context.Context, dir string, ready func(string)) error {
	nats, err := embedded.Start(embedded.Config{StoreDir: dir, Port: -1, ReadyTimeout: time.Minute})
	if err != nil {
		return err
	}
	ready(nats.ClientURL())
	<-ctx.Done()
	nats.Shutdown()
	return nil
}

func playParticipant(ctx context.Context, name, dir, url string, logger *slog.Logger, ready func(string)) error {
	build, known := participants[name]
	if !known {
		return fmt.Errorf("there is no role %q", name)
	}
	db, err := openBooks(ctx, booksFile(dir, name))
	if err != nil {
		return err
	}
	defer db.Close()
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	if err := inbox.Migrate(ctx); err != nil {
		return err
	}
	var box participant.Inbox[*sql.Tx] = inbox
	if os.Getenv(plantEnv) == "forgetful" {
		box = forgetful{inbox}
	}
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: url, Name: name, Logger: logger})
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it connected
		}
		return err
	}
	defer bus.Close()
	subscribed(ctx, bus, name)
	ready("")
	return build(box, participant.Logger(logger), participant.AckWait(3*time.Second)).Run(ctx, bus)
}

// subscribed waits for a moment until a coordinator has made the consumer, so that a
// participant that is told to stop when it is ready takes commands by then.
func subscribed(ctx context.Context, bus *natsbus.Bus, name string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = bus.AskConsumer(ctx, name, transport.SubscribeQuery{}) // it asks again when it runs
}

// forgetful is the planted bug of a participant: an inbox that shows nobody what
// was answered before.
type forgetful struct{ *sqlinbox.Inbox }

func (f forgetful) Update(ctx context.Context, key participant.StepKey, work participant.Work[*sql.Tx]) error {
	return f.Inbox.Update(ctx, key, func(ctx context.Context, tx *sql.Tx, known participant.Entry) (participant.Entry, bool, error) {
		return work(ctx, tx, participant.Entry{Do: participant.Answer{}, Undo: known.Undo})
	})
}

func booksFile(dir, name string) string { return filepath.Join(dir, name+".db") }

// openBooks opens a participant's database. A commit is on disk when it returns.
func openBooks(ctx context.Context, file string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("apply the schema to %s: %w", file, err)
	}
	return db, nil
}
