package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite" // the driver

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant/sqlinbox"
	"github.com/amends-dev/amends/transport/natsbus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv("NATS_URL"), filepath.Join("data", "tutorial"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// run runs both services in one process, each with a database under dir, and books two trips. The
// databases are in the coordinator's data directory, so deleting ./data resets everything.
func run(ctx context.Context, url, dir string, out io.Writer) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: url, Name: "tutorial"})
	if err != nil {
		return err
	}
	defer bus.Close()
	hotelDB, hotelInbox, err := open(ctx, filepath.Join(dir, "hotel.db"), hotelSchema)
	if err != nil {
		return err
	}
	defer hotelDB.Close()
	bankDB, bankInbox, err := open(ctx, filepath.Join(dir, "bank.db"), bankSchema)
	if err != nil {
		return err
	}
	defer bankDB.Close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	services, running := errgroup.WithContext(ctx)
	services.Go(func() error { return newHotel(hotelInbox).Run(running, bus) })
	services.Go(func() error { return newBank(bankInbox).Run(running, bus) })
	err = book(running, client.New(bus), out)
	stop()
	if failed := services.Wait(); failed != nil {
		return failed
	}
	return err
}

// open opens a service's database and its inbox.
func open(ctx context.Context, path, schema string) (*sql.DB, *sqlinbox.Inbox, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, nil, err
	}
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, nil, fmt.Errorf("create the tables in %s: %w", path, err)
	}
	return db, inbox, inbox.Migrate(ctx)
}

func book(ctx context.Context, c *client.Client, out io.Writer) error {
	if _, err := c.Register(ctx, BookTrip); err != nil {
		return err
	}
	for _, trip := range []Trip{{"ada", 2}, {"bob", 3}} {
		id := contract.SagaID("trip-of-" + trip.Traveller)
		status, err := c.Run(ctx, BookTrip, trip, client.ID(id))
		if err != nil {
			return err
		}
		if status.Phase != contract.PhaseCompleted {
			fmt.Fprintf(out, "%s %s: %s\n", id, status.Phase, status.Reason)
			continue
		}
		room, err := client.Result[Room](status, "book-room")
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %s: room %d\n", id, status.Phase, room.Number)
	}
	return nil
}
