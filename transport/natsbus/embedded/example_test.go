package embedded_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// A NATS server runs in this process. Other programs connect to its address; clients of this
// process connect without a network.
func Example() {
	dir, err := os.MkdirTemp("", "nats")
	check(err)
	defer os.RemoveAll(dir)
	s, err := embedded.Start(embedded.Config{StoreDir: dir, Port: -1})
	check(err)
	defer s.Shutdown()
	fmt.Println(strings.HasPrefix(s.ClientURL(), "nats://127.0.0.1:"))

	bus, err := natsbus.Connect(context.Background(), natsbus.Config{Name: "inside", Options: []nats.Option{s.InProcess()}})
	check(err)
	check(bus.Close())
	// Output:
	// true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
