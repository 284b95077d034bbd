package participanttest_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // SQLite driver

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

// In a real service, the command, its undo and their handlers are in the service's package.
type Booking struct {
	Guest  string `json:"guest"`
	Nights int    `json:"nights"`
}

var (
	BookRoom   = contract.NewCommand[Booking, struct{}]("hotel", "book-room")
	CancelRoom = contract.UndoOf(BookRoom, "cancel-room")
)

func NewHotel(inbox *sqlinbox.Inbox) *participant.Participant[*sql.Tx] {
	p := participant.New("hotel", inbox)
	participant.Handle(p, BookRoom, participant.NoResult(func(ctx context.Context, tx *sql.Tx, b Booking) error {
		if b.Nights > 30 {
			return participant.Reject("30 nights at most")
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO booking (guest, nights) VALUES (?, ?)", b.Guest, b.Nights)
		return err
	}))
	participant.HandleUndo(p, CancelRoom, func(ctx context.Context, tx *sql.Tx, u contract.Undo[Booking, struct{}]) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM booking WHERE guest = ?", u.Request.Guest)
		return err
	})
	return p
}

// newDatabase creates a hotel's database with its inbox.
func newDatabase(ctx context.Context, dir string) (*sql.DB, *sqlinbox.Inbox, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "hotel.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		return nil, nil, err
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE booking (guest TEXT, nights INTEGER)"); err != nil {
		return nil, nil, err
	}
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	return db, inbox, inbox.Migrate(ctx)
}

// A booking is delivered twice, and then undone.
func ExampleNewCommand() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "hotel")
	check(err)
	defer os.RemoveAll(dir)
	db, inbox, err := newDatabase(ctx, dir)
	check(err)
	defer db.Close()
	hotel := NewHotel(inbox)
	say := func(when string) {
		var n int
		check(db.QueryRowContext(ctx, "SELECT count(*) FROM booking").Scan(&n))
		fmt.Println(when, n)
	}

	book := participanttest.NewCommand(BookRoom, Booking{Guest: "ada", Nights: 2})
	_, err = hotel.Answer(ctx, book)
	check(err)
	answer, err := hotel.Answer(ctx, book)
	check(err)
	say("booked twice:")
	_, err = hotel.Answer(ctx, participanttest.NewUndo(CancelRoom, book, answer))
	check(err)
	say("undone:")
	// Output:
	// booked twice: 1
	// undone: 0
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func TestBookRoom(t *testing.T) {
	db, inbox, err := newDatabase(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	participanttest.Run(t, participanttest.Step[Booking, struct{}]{
		Answer:   NewHotel(inbox).Answer,
		Do:       BookRoom,
		Undo:     CancelRoom,
		Request:  func() Booking { return Booking{Guest: rand.Text(), Nights: 2} }, // each request is different
		Rejected: func() Booking { return Booking{Guest: rand.Text(), Nights: 31} },
		Effects: func(t testing.TB, b Booking) (n int) {
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM booking WHERE guest = ?", b.Guest).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		},
	})
}

// TestBookRoom delivers the step twice, concurrently, with the undo before the do, and so on. Each
// time the booking exists once or not at all.
func ExampleRun() {
	_ = TestBookRoom // go test runs it
	// Output:
}
