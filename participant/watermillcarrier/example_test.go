package watermillcarrier_test

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/participanttest"
	"github.com/amends-dev/amends/participant/watermillcarrier"
	"github.com/amends-dev/amends/transport/watermillbus"
)

// A participant runs in a service's own router. In this example, the broker is in memory, and the
// command is created by the example. In production, a coordinator sends it on a watermillbus.
func Example() {
	sendMail := contract.NewCommand[string, int]("mail", "send")
	mail := participant.New("mail", &participant.MemoryInbox{})
	participant.Handle(mail, sendMail, func(_ context.Context, _ *participant.MemoryTx, to string) (int, error) {
		fmt.Println("a mail to", to)
		return 1, nil
	})

	broker := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermill.NopLogger{})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	check(err)
	router.AddHandler("mail", "saga.command.mail", broker, "saga.event", broker, watermillcarrier.Handler(mail))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	answers, err := broker.Subscribe(ctx, "saga.event")
	check(err)

	check(broker.Publish("saga.command.mail", watermillbus.ToMessage(ctx, participanttest.NewCommand(sendMail, "ada"))))
	answer := <-answers
	fmt.Println(string(answer.Payload))
	answer.Ack()
	stop()
	check(<-ended)
	// Output:
	// a mail to ada
	// 1
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
