//go:build linux && crashpoints && lab

package reliability

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
)

// underLoad kills the owner while sagas are in flight, so that the armed process has something to
// recover, and starts new sagas.
func underLoad(n *lane, c *crash) error {
	early := n.begin(c, mixed[:2])
	<-early.acked
	l, err := n.arm(c)
	if err != nil {
		return err
	}
	late := n.begin(c, mixed)
	err = n.watch(c, l, late.ended)
	<-late.ended
	<-early.ended
	return err
}

// disturb arms the owner, starts sagas, calls do, and waits for the crash.
func disturb(n *lane, c *crash, do func(context.Context) error) error {
	l, err := n.armReady(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), world.Limit)
	defer cancel()
	b := n.begin(c, mixed)
	<-b.acked
	err = do(ctx)
	reached := make(chan struct{})
	timer := time.AfterFunc(12*time.Second, func() { close(reached) })
	defer timer.Stop()
	err = errors.Join(err, n.watch(c, l, reached))
	<-b.ended
	return err
}

// stopping asks the owner to stop while sagas are in flight.
func stopping(n *lane, c *crash) error {
	l, err := n.armReady(c)
	if err != nil {
		return err
	}
	b := n.begin(c, mixed)
	<-b.acked
	p := n.s.processes[c.owner]
	p.leave()
	if err := l.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := world.AwaitClosed(l.Exited(), c.owner+" has stopped"); err != nil {
		return err
	}
	if !l.State().Success() { // success means that it did not pass the point
		err = n.watch(c, l, nil)
	}
	err = errors.Join(err, n.start(c.owner))
	<-b.ended
	return err
}

// withoutSecret makes the coordinator start as if for the first time.
func withoutSecret(n *lane, c *crash) error {
	if err := n.s.coordinator().kill(); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(n.s.dir, "coordinator", "secret")); err != nil {
		return err
	}
	l, err := n.launch(c)
	if err != nil {
		return err
	}
	b := n.begin(c, mixed)
	err = n.watch(c, l, b.ended)
	<-b.ended
	return err
}

// silence stops a participant, so that attempts time out.
func silence(n *lane, c *crash) error {
	if err := n.s.processes["post"].kill(); err != nil {
		return err
	}
	l, err := n.armReady(c)
	if err != nil {
		return err
	}
	b := n.begin(c, mixed)
	err = n.watch(c, l, b.ended)
	err = errors.Join(err, n.start("post"))
	<-b.ended
	return err
}

// longestOutage is how long the bus stays away until the crash point is reached.
const longestOutage = 30 * time.Second

// withoutBus stops the bus while commands are pending.
func withoutBus(n *lane, c *crash) error {
	if err := n.s.processes["post"].kill(); err != nil {
		return err
	}
	l, err := n.armReady(c)
	if err != nil {
		return err
	}
	b := n.begin(c, mixed)
	<-b.acked
	if err := n.s.bus().kill(); err != nil {
		return err
	}
	reached := make(chan struct{})
	timer := time.AfterFunc(longestOutage, func() { close(reached) })
	defer timer.Stop()
	err = n.watch(c, l, reached)
	err = errors.Join(err, n.start("bus", "post"))
	<-b.ended
	return err
}

// waiting waits for the periodic work of the coordinator.
func waiting(n *lane, c *crash) error {
	return disturb(n, c, func(context.Context) error { return nil })
}

// reading requests lists and histories until they are answered.
func reading(n *lane, c *crash) error {
	return disturb(n, c, func(ctx context.Context) error {
		list, err := n.client.List(ctx, api.ListRequest{Limit: 1})
		if err != nil || len(list.Sagas) == 0 {
			return err
		}
		_, err = n.client.History(ctx, list.Sagas[0].ID)
		return err
	})
}

// subscribing restarts a participant, which then requests its consumer.
func subscribing(n *lane, c *crash) error {
	return disturb(n, c, func(context.Context) error {
		return errors.Join(n.s.processes["post"].kill(), n.s.processes["post"].start())
	})
}

// rejecting makes the first command that the bank receives one that it rejects.
func rejecting(n *lane, c *crash) error {
	if err := n.s.awaitDrained(); err != nil {
		return err
	}
	l, err := n.armReady(c)
	if err != nil {
		return err
	}
	b := n.begin(c, mixed[3:])
	err = n.watch(c, l, b.ended)
	<-b.ended
	return err
}

// registering registers a definition, and retries until it succeeds.
func registering(n *lane, c *crash) error {
	def, err := saga.Define[world.Transfer](fmt.Sprintf("other-%d", time.Now().UnixNano()), saga.Retriable("announce", saga.Do(world.Announce)))
	if err != nil {
		return err
	}
	return disturb(n, c, func(ctx context.Context) error {
		for {
			_, err := n.client.Register(ctx, def)
			if err == nil || ctx.Err() != nil {
				return err
			}
			world.Hold(20 * time.Millisecond)
		}
	})
}

// subjects are the NATS subjects of the system.
var subjects = transport.Subjects{}

var nobody = contract.Key{Saga: "nobody", Birth: 7, Step: "reserve", Direction: contract.DirectionDo}

// publish publishes a message, and retries until the bus has accepted it.
func (n *lane) publish(ctx context.Context, e transport.Envelope) error {
	e.Source, e.Time = "/amends/test", time.Now()
	for {
		errs := n.bus.Publish(ctx, []transport.Envelope{e})
		if errs == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errs[0]
		}
		world.Hold(20 * time.Millisecond)
	}
}

// unknownSaga sends an answer for a saga that does not exist.
func unknownSaga(n *lane, c *crash) error {
	return disturb(n, c, n.answerOfNobody)
}

func (n *lane) answerOfNobody(ctx context.Context) error {
	return n.publish(ctx, transport.Envelope{
		Subject: subjects.Event("bank", nobody, 1), ID: "nobody", Type: transport.TypeCompleted,
		Saga: nobody.Saga, Birth: nobody.Birth, Step: nobody.Step, Direction: nobody.Direction, Attempt: 1,
	})
}

// unanswerable sends a command whose reply subject does not exist.
func unanswerable(n *lane, c *crash) error {
	return disturb(n, c, func(ctx context.Context) error {
		return n.publish(ctx, transport.Envelope{
			Subject: subjects.Command("clearing", "nonsense"), ID: "nobody", Type: transport.TypeCommand,
			Saga: nobody.Saga, Birth: nobody.Birth, Step: nobody.Step, Direction: nobody.Direction, Attempt: 1,
			ReplyTo: subjects.Command("clearing", "nonsense"),
		})
	})
}

// malformed publishes messages that no Amends bus would send.
func malformed(n *lane, c *crash) error {
	return disturb(n, c, func(context.Context) error {
		return n.s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.Publish(ctx, subjects.Event("bank", nobody, 1), []byte("rubbish"))
			return err
		})
	})
}

// bundled sends two answers in one message, which participants do only under load.
func bundled(n *lane, c *crash) error {
	return disturb(n, c, func(context.Context) error {
		return n.s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
			header := "NATS/1.0\r\nce-type: " + transport.TypeCompleted + "\r\n\r\n"
			one := fmt.Sprintf("HPUB %s %d %d\r\n%s\r\n", subjects.Event("bank", nobody, 1), len(header), len(header), header)
			_, err := js.Publish(ctx, subjects.Bundle(transport.StreamEvents, "bank", 2), []byte(one+one))
			return err
		})
	})
}

// streamDeleted deletes the command stream with a plain JetStream client.
func streamDeleted(n *lane, c *crash) error {
	return disturb(n, c, func(context.Context) error {
		err := n.s.byHand(func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, "SAGA_COMMANDS") })
		<-n.begin(c, mixed[:2]).acked
		return err
	})
}

// consumerDeleted deletes the coordinator's consumer with a plain JetStream client.
func consumerDeleted(n *lane, c *crash) error {
	return disturb(n, c, func(context.Context) error {
		return n.s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
			stream, err := js.Stream(ctx, "SAGA_EVENTS")
			if err != nil {
				return err
			}
			names := stream.ConsumerNames(ctx)
			for name := range names.Name() {
				if err := js.DeleteConsumer(ctx, "SAGA_EVENTS", name); err != nil {
					return err
				}
			}
			return names.Err()
		})
	})
}

// pushed creates a push consumer, which delivers with the server's permissions.
func pushed(n *lane, c *crash) error {
	return disturb(n, c, func(context.Context) error {
		return n.s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateOrUpdatePushConsumer(ctx, "SAGA_COMMANDS", jetstream.ConsumerConfig{
				Durable: "stranger", FilterSubject: "saga.command.stranger.>", AckPolicy: jetstream.AckExplicitPolicy, DeliverSubject: "stranger",
			})
			return err
		})
	})
}

// bareServer deletes all streams, so that the server is like a new one.
func bareServer(n *lane, c *crash) error {
	for _, name := range append([]string{"coordinator"}, world.Participants...) {
		if err := n.s.processes[name].kill(); err != nil {
			return err
		}
	}
	err := n.s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
		for _, stream := range transport.Streams {
			if err := js.DeleteStream(ctx, n.bus.StreamName(stream)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	l, err := n.launch(c)
	if err != nil {
		return err
	}
	b := n.begin(c, mixed)
	err = n.watch(c, l, b.ended)
	err = errors.Join(err, n.start(world.Participants...))
	<-b.ended
	return err
}

// tool runs the tool, which crashes at the point if dies is set.
func (n *lane) tool(c *crash, dies bool, operation, file, to string) error {
	ctx, cancel := context.WithTimeout(n.t.Context(), world.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=tool", toolEnv+"="+operation, fileEnv+"="+file, targetEnv+"="+to, crashpoint.LogEnv+"="+n.visits("tool"))
	if !dies {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", operation, err, out)
		}
		return nil
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%s#%d", crashpoint.Env, c.point, c.visit))
	out, _ := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("%s was to die, and ended with %s: %s", operation, cmd.ProcessState, out)
	}
	return n.died(c)
}

// offline lets some sagas end, stops the coordinator, runs work on its store, and starts the
// coordinator again.
func (n *lane) offline(c *crash, work func(file, scratch string) error) error {
	<-n.begin(c, mixed).ended
	if err := n.s.coordinator().terminate(); err != nil {
		return err
	}
	n.tools++
	scratch := filepath.Join(n.s.dir, fmt.Sprintf("scratch%d-", n.tools))
	err := work(filepath.Join(n.s.dir, "coordinator", server.StoreFile), scratch)
	err = errors.Join(err, n.start("coordinator"))
	<-n.begin(c, mixed).ended
	return err
}

// replace moves a store to the place of another one. A store that was not opened yet has no log.
func replace(from, to string) error {
	err := errors.Join(os.RemoveAll(to+".log"), os.Rename(from, to))
	if moved := os.Rename(from+".log", to+".log"); !errors.Is(moved, os.ErrNotExist) {
		err = errors.Join(err, moved)
	}
	return err
}

// twice runs the tool until it crashes, and then to its end.
func (n *lane) twice(c *crash, operation, file, to string) error {
	return errors.Join(n.tool(c, true, operation, file, to), n.tool(c, false, operation, file, to))
}

func making(n *lane, c *crash) error {
	return n.offline(c, func(_, scratch string) error { return n.twice(c, "make", scratch+"new", "") })
}

// backedUp checks that a backup is complete although the tool crashed before it reported so.
func backedUp(n *lane, c *crash) error {
	return n.offline(c, func(file, scratch string) error {
		return errors.Join(n.tool(c, true, "backup", file, scratch+"whole"), n.tool(c, false, "restore", scratch+"whole", scratch+"restored"))
	})
}

// backingUp checks that a partial backup is refused and the store is undamaged.
func backingUp(n *lane, c *crash) error {
	return n.offline(c, func(file, scratch string) error {
		err := n.tool(c, true, "backup", file, scratch+"half")
		if n.tool(c, false, "restore", scratch+"half", scratch+"refused") == nil {
			err = errors.Join(err, errors.New("half a backup was restored"))
		}
		return errors.Join(err, n.tool(c, false, "backup", file, scratch+"whole"),
			n.tool(c, false, "restore", scratch+"whole", scratch+"restored"))
	})
}

// restoring checks that the coordinator continues with a restored store.
func restoring(n *lane, c *crash) error {
	return n.offline(c, func(file, scratch string) error {
		return errors.Join(n.tool(c, false, "backup", file, scratch+"whole"),
			n.twice(c, "restore", scratch+"whole", scratch+"restored"),
			replace(scratch+"restored", file))
	})
}

// copying checks that the coordinator continues with a copy of its store.
func copying(n *lane, c *crash) error {
	return n.offline(c, func(file, scratch string) error {
		return errors.Join(n.twice(c, "copy", file, scratch+"copy"), replace(scratch+"copy", file))
	})
}

func expiring(n *lane, c *crash) error {
	return n.offline(c, func(file, _ string) error { return n.twice(c, "expire", file, "") })
}

// dropping removes sagas permanently, in a copy of the store.
func dropping(n *lane, c *crash) error {
	return n.offline(c, func(file, scratch string) error {
		data, err := os.ReadFile(file)
		return errors.Join(err, os.WriteFile(scratch+"copy", data, 0o600), os.CopyFS(scratch+"copy.log", os.DirFS(file+".log")),
			n.tool(c, false, "expire", scratch+"copy", ""), n.twice(c, "drop", scratch+"copy", ""))
	})
}

// replaying replays a dead letter, which is dead-lettered again.
func replaying(n *lane, c *crash) error {
	if err := n.answerOfNobody(n.t.Context()); err != nil {
		return err
	}
	url := n.s.server.Load().(string)
	err := errors.Join(n.awaitDeadLetter(), n.tool(c, true, "replay", url, ""),
		n.awaitDeadLetter(), n.tool(c, false, "replay", url, ""))
	<-n.begin(c, mixed).ended
	return err
}

func (n *lane) awaitDeadLetter() error {
	return world.Poll("there is a dead letter", func() bool {
		list, err := n.bus.ListDeadLetters(n.t.Context(), 0, 1)
		return err == nil && len(list) > 0
	})
}
