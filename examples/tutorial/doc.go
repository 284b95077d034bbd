// Tutorial is the program of docs/TUTORIAL.md. It has two services and a saga that books a room,
// charges the traveller and sends a voucher. If the charge is rejected, the saga releases the room.
//
//	go run ./cmd/coordinator serve --nats-listen 127.0.0.1:4222   (one terminal)
//	go run ./examples/tutorial                                    (another)
//
// It shows the minimum of a service, without logging, metrics or configuration. The full demo is
// examples/order-checkout.
package main
