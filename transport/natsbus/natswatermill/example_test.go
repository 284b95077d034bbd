package natswatermill_test

import (
	"context"
	"fmt"
	"os"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/natsbus/natswatermill"
)

// A Watermill topic is a subject with its own stream.
func Example() {
	dir, err := os.MkdirTemp("", "nats")
	check(err)
	defer os.RemoveAll(dir)
	s, err := embedded.Start(embedded.Config{StoreDir: dir})
	check(err)
	defer s.Shutdown()
	nc, err := nats.Connect("", s.InProcess())
	check(err)
	defer nc.Close()

	config := natswatermill.Config{Conn: nc, Group: "mail"}
	publisher, err := natswatermill.NewPublisher(config)
	check(err)
	defer publisher.Close()
	subscriber, err := natswatermill.NewSubscriber(config)
	check(err)
	defer subscriber.Close()

	check(publisher.Publish("greetings", message.NewMessage("1", []byte("hello"))))
	messages, err := subscriber.Subscribe(context.Background(), "greetings")
	check(err)
	m := <-messages
	fmt.Println(m.UUID, string(m.Payload))
	m.Ack()
	// Output:
	// 1 hello
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
