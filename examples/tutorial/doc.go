// Tutorial is the program of docs/TUTORIAL.md: two services and one saga, which
// books a room, takes the money and sends a voucher, or gives the room back.
//
//	go run ./cmd/coordinator serve --nats-listen 127.0.0.1:4222   (one terminal)
//	go run ./examples/tutorial                                    (another)
//
// It shows the least that a service needs, and leaves out what a real one adds:
// logging, metrics, configuration. The demo with everything is
// examples/order-checkout.
package main
