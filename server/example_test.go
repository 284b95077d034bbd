package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store/memstore"
)

type (
	Trip struct {
		City string `json:"city"`
	}
	Room struct {
		Number int `json:"number"`
	}
)

var (
	BookRoom   = contract.NewCommand[Trip, Room]("hotel", "book-room")
	CancelRoom = contract.UndoOf(BookRoom, "cancel-room")
	TakeMoney  = contract.NewCommand[Trip, struct{}]("bank", "take-money")

	BookTrip = saga.MustDefine[Trip]("book-trip",
		saga.Compensable("book-room", saga.Do(BookRoom), saga.Undo(CancelRoom)),
		saga.Pivot("take-money", saga.Do(TakeMoney)))
)

// A coordinator, two services and a caller in one process. Services in other processes connect to
// Addresses().NATS instead.
func Example() {
	dir, err := os.MkdirTemp("", "amends")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()
	s, err := server.Start(ctx, server.Config{DataDir: dir, Definitions: []*saga.Definition{BookTrip}, Logger: slog.New(slog.DiscardHandler)})
	check(err)

	services, leave := context.WithCancel(ctx)
	left := make(chan error, 1)
	go func() { left <- serve(services, s) }()

	caller := s.Client()
	for _, city := range []string{"Oslo", "Rome"} {
		status, err := caller.Run(ctx, BookTrip, Trip{city}, client.ID(contract.SagaID("trip-to-"+city)))
		check(err)
		fmt.Println(strings.TrimSpace(fmt.Sprintln(status.ID, status.Phase, status.Reason)))
	}

	leave()
	check(<-left)
	check(s.Stop(ctx))
	// Output:
	// room in Oslo booked
	// trip-to-Oslo completed
	// room in Rome booked
	// room in Rome given back
	// trip-to-Rome compensated rejected at take-money: no money for Rome
}

// A program that runs a coordinator and nothing else, until it is interrupted.
func ExampleRun() { //nolint:testableexamples // it runs until it is interrupted
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := server.Run(ctx, server.Config{DataDir: "data", HTTP: "127.0.0.1:8080", NATS: server.NATS{Listen: "127.0.0.1:4222"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A custom store, here the one in memory, which loses everything when the process ends. The data
// directory holds only the streams of the embedded NATS server; with an external server it is not
// needed.
func ExampleConfig_store() {
	dir, err := os.MkdirTemp("", "amends")
	check(err)
	defer os.RemoveAll(dir)
	own := memstore.New()
	ctx := context.Background()
	s, err := server.Start(ctx, server.Config{Store: own, DataDir: dir, Definitions: []*saga.Definition{BookTrip}, Logger: slog.New(slog.DiscardHandler)})
	check(err)
	_, err = s.Client().Start(ctx, BookTrip, Trip{"Oslo"}, client.ID("trip-to-Oslo"))
	check(err)
	check(s.Stop(ctx))

	kept, err := own.Load(ctx, "trip-to-Oslo")
	check(err)
	fmt.Println(kept.ID, kept.Phase)
	check(own.Close())
	// Output:
	// trip-to-Oslo running
}

// serve runs the services until ctx ends. They keep their inboxes in memory; a service with a
// database would keep its inbox there.
func serve(ctx context.Context, s *server.Server) error {
	bus, err := s.Connect(ctx, "services")
	if err != nil {
		return err
	}
	defer bus.Close()
	hotel := participant.New("hotel", &participant.MemoryInbox{})
	participant.Handle(hotel, BookRoom, func(_ context.Context, _ *participant.MemoryTx, t Trip) (Room, error) {
		fmt.Println("room in", t.City, "booked")
		return Room{7}, nil
	})
	participant.HandleUndo(hotel, CancelRoom, func(_ context.Context, _ *participant.MemoryTx, u contract.Undo[Trip, Room]) error {
		fmt.Println("room in", u.Request.City, "given back")
		return nil
	})
	bank := participant.New("bank", &participant.MemoryInbox{})
	participant.Handle(bank, TakeMoney, participant.NoResult(func(_ context.Context, _ *participant.MemoryTx, t Trip) error {
		if t.City == "Rome" {
			return participant.Reject("no money for Rome")
		}
		return nil
	}))
	ended := make(chan error, 2)
	go func() { ended <- hotel.Run(ctx, bus) }()
	go func() { ended <- bank.Run(ctx, bus) }()
	err = <-ended
	if other := <-ended; err == nil {
		err = other
	}
	return err
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
