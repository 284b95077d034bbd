package watermillbus_test

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/watermillbus"
)

// The bus runs on any broker that Watermill supports. This example uses one in memory.
func Example() {
	ctx := context.Background()
	broker := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermill.NopLogger{})
	bus, err := watermillbus.New(watermillbus.Config{
		Publisher:  broker,
		Subscriber: func(transport.Subscription) (message.Subscriber, error) { return broker, nil },
	})
	if err != nil {
		panic(err)
	}
	defer bus.Close()

	commands, err := bus.Subscribe(ctx, transport.Subscription{Stream: transport.StreamCommands, Name: "mail", Subjects: []string{"saga.command.mail.>"}})
	if err != nil {
		panic(err)
	}
	command := participanttest.NewCommand(contract.NewCommand[string, int]("mail", "send"), "ada")
	bus.Publish(ctx, []transport.Envelope{*command})
	batch, err := commands.Receive(ctx, 1)
	if err != nil {
		panic(err)
	}
	got := batch[0].Envelope()
	fmt.Println(got.Subject, string(got.Data))
	batch[0].Ack()
	// Output:
	// saga.command.mail.send "ada"
}
