package service

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/participant/watermillcarrier"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/natswatermill"
)

// inFlight is the maximum number of commands that the router handles concurrently.
const inFlight = 16

// route runs a participant as a handler of a Watermill router. It uses the connection and the
// streams of bus.
func route(ctx context.Context, p watermillcarrier.Answerer, bus *natsbus.Bus, logger *slog.Logger) error {
	log := watermill.NewSlogLoggerWithLevelMapping(logger, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})
	on := func(stream transport.Stream) natswatermill.Config {
		return natswatermill.Config{
			Conn: bus.Conn(), NoProvision: true, Logger: log,
			Stream: func(string) string { return bus.StreamName(stream) },
		}
	}
	commands := on(transport.StreamCommands)
	commands.Group, commands.InFlight, commands.AckWait = "shipping", inFlight, ackWait
	commands.MakeConsumer = func(ctx context.Context, _, name string) error { // the coordinator creates the consumer
		return bus.AskConsumer(ctx, name, api.SubscribeRequest{AckWait: api.For(ackWait), MaxInFlight: 64 * inFlight})
	}
	subscriber, err := natswatermill.NewSubscriber(commands)
	if err != nil {
		return fmt.Errorf("subscribe to commands: %w", err)
	}
	answers, err := natswatermill.NewPublisher(on(transport.StreamEvents))
	if err != nil {
		return fmt.Errorf("publish answers: %w", err)
	}
	defer answers.Close() // every answer has been acknowledged
	dead, err := natswatermill.NewPublisher(on(transport.StreamDeadLetters))
	if err != nil {
		return fmt.Errorf("publish dead letters: %w", err)
	}
	defer dead.Close() // every dead letter has been acknowledged
	router, err := message.NewRouter(message.RouterConfig{}, log)
	if err != nil {
		return fmt.Errorf("make the router: %w", err)
	}
	var subjects transport.Subjects
	aside, err := middleware.PoisonQueueWithFilter(dead, subjects.DeadLetter(transport.StreamCommands, "shipping"), watermillcarrier.Unanswerable)
	if err != nil {
		return fmt.Errorf("set up the dead letters for commands that cannot be answered: %w", err)
	}
	router.AddMiddleware(aside)
	router.AddHandler("shipping", subjects.Commands("shipping"), subscriber, "each on its own subject",
		watermillcarrier.BySubject(answers), watermillcarrier.Handler(p))
	return router.Run(ctx)
}
