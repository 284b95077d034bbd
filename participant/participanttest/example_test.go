package participanttest_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/participant/sqlinbox"
)

// A service as its package has it: a command, its undo, and their handlers.
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
	participant.Handle(p, BookRoom, func(ctx context.Context, tx *sql.Tx, b Booking) (struct{}, error) {
		if b.Nights > 30 {
			return struct{}{}, participant.Reject("30 nights at most")
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO booking (guest, nights) VALUES (?, ?)", b.Guest, b.Nights)
		return struct{}{}, err
	})
	participant.HandleUndo(p, CancelRoom, func(ctx context.Context, tx *sql.Tx, u contract.Undo[Booking, struct{}]) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM booking WHERE guest = ?", u.Request.Guest)
		return err
	})
	return p
}

func TestBookRoom(t *testing.T) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "hotel.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE booking (guest TEXT, nights INTEGER)"); err != nil {
		t.Fatal(err)
	}
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	if err := inbox.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}

	participanttest.Run(t, participanttest.Step[Booking, struct{}]{
		Answer:   NewHotel(inbox).Answer,
		Do:       BookRoom,
		Undo:     CancelRoom,
		Request:  func() Booking { return Booking{Guest: rand.Text(), Nights: 2} }, // no two alike
		Rejected: func() Booking { return Booking{Guest: rand.Text(), Nights: 31} },
		Effects: func(t testing.TB, b Booking) (n int) {
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM booking WHERE guest = ?", b.Guest).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		},
	})
}

// TestBookRoom has the step delivered twice, concurrently, undone before it is done, and so
// on: each time the booking is there once or not at all.
func ExampleRun() {
	_ = TestBookRoom // which go test runs
	// Output:
}
