package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/server"
)

// TestTutorial runs the tutorial's program against a coordinator twice. The second run starts the
// same sagas again, and no step takes effect twice (I2, I5).
func TestTutorial(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	coordinator, err := server.Start(ctx, server.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := coordinator.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	services := t.TempDir()
	for range 2 {
		var out strings.Builder
		if err := run(ctx, coordinator.Addresses().NATS, services, &out); err != nil {
			t.Fatal(err)
		}
		const want = "trip-of-ada completed: room 101\n" +
			"trip-of-bob compensated: rejected at take-money: bob cannot pay 360\n"
		if out.String() != want {
			t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
		}
	}
	db, _, err := open(ctx, services+"/hotel.db", hotelSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var taken, vouchers int
	if err := db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM room WHERE guest <> ''), (SELECT count(*) FROM voucher)`).Scan(&taken, &vouchers); err != nil {
		t.Fatal(err)
	}
	if taken != 1 || vouchers != 1 {
		t.Errorf("%d rooms are taken and %d vouchers sent, want 1 and 1", taken, vouchers)
	}
}
