package natsbus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// errTooManyConsumers is logged if there are more consumers than consumerFile stores.
var errTooManyConsumers = fmt.Errorf("there are more than %d consumers", MaxConsumers)

// consumerFile keeps the configurations of the consumers of commands in Config.ConsumersFile. While
// the stream of commands is in memory, the server loses it and its consumers when it stops, also
// those that programs other than the coordinator have created. Its methods are called by one
// goroutine at a time: the caller holds kept.repair of the stream of commands.
type consumerFile struct {
	bus     *Bus
	written []byte           // content of the file; nil if unknown
	told    map[string]error // problems that were logged, by consumer
}

// follow is called after each check of the stream of commands. It creates the stored consumers in a
// stream that is new, and stores the consumers of a stream that has changed. While the stream is in
// files, it removes the file, because the server then keeps the consumers itself.
func (f *consumerFile) follow(ctx context.Context, isNew bool) error {
	path := f.bus.config.ConsumersFile
	if path == "" {
		return nil
	}
	ctx, cancel := f.bus.question(ctx)
	defer cancel()
	stream, err := f.bus.js.Stream(ctx, f.bus.names[transport.StreamCommands])
	if err != nil {
		return err
	}
	if isNew {
		if err := f.restore(ctx, stream); err != nil {
			return err
		}
	}
	if f.bus.config.Memory {
		return f.store(ctx, stream)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the list of consumers, which is no longer needed: %w", err)
	}
	return nil
}

// restore creates the stored consumers that do not exist. A consumer that the server refuses is
// logged, because it must not stop the others.
func (f *consumerFile) restore(ctx context.Context, stream jetstream.Stream) error {
	path := f.bus.config.ConsumersFile
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []jetstream.ConsumerConfig
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil {
		return fmt.Errorf("read the list of consumers: %w; remove %s: the coordinator then creates the consumers of participants with default settings, and other consumers have to be created again by hand", err, path)
	}
	for i := range list {
		_, err := stream.CreateConsumer(ctx, list[i])
		switch {
		case err == nil, errors.Is(err, jetstream.ErrConsumerExists):
			delete(f.told, list[i].Name)
		case ctx.Err() != nil:
			return fmt.Errorf("create consumer %s again: %w", list[i].Name, err)
		default:
			f.tell(list[i].Name, "a consumer of commands could not be created again", err)
		}
	}
	return nil
}

// store writes the configurations of the durable pull consumers to the file, if they have changed.
func (f *consumerFile) store(ctx context.Context, stream jetstream.Stream) error {
	list := []jetstream.ConsumerConfig{}
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		c := info.Config
		// A push consumer may deliver to any subject; checkConsumer removes it.
		if c.Durable == "" || c.DeliverSubject != "" {
			continue
		}
		if len(list) == MaxConsumers {
			f.tell("", "further consumers of commands are not stored, and will not exist after a restart", errTooManyConsumers)
			break
		}
		c.Metadata = maps.Clone(c.Metadata)
		maps.DeleteFunc(c.Metadata, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") }) // the server's own
		list = append(list, c)
	}
	if err := consumers.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return fmt.Errorf("list the consumers of %s: %w", f.bus.names[transport.StreamCommands], err)
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if data = append(data, '\n'); f.written != nil && bytes.Equal(data, f.written) {
		return nil
	}
	if err := writeDurably(f.bus.config.ConsumersFile, data); err != nil {
		return fmt.Errorf("store the list of consumers: %w", err)
	}
	f.written = data
	return nil
}

// tell logs a problem of a consumer, unless it was the last one logged of that consumer.
func (f *consumerFile) tell(consumer, what string, err error) {
	if known := f.told[consumer]; known != nil && known.Error() == err.Error() {
		return
	}
	if f.told == nil {
		f.told = map[string]error{}
	}
	f.told[consumer] = err
	f.bus.config.Logger.Warn(what, "consumer", consumer, "error", err)
}

// writeDurably replaces a file, so that after a crash it has either its old or its new content.
func writeDurably(path string, data []byte) (err error) {
	temporary, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// watchConsumers wakes watch when somebody creates or deletes a consumer of commands, so that the
// change is stored at once and not at the next check.
func (f *consumerFile) watchConsumers() (stop func(), err error) {
	if f.bus.config.ConsumersFile == "" || !f.bus.config.Memory {
		return func() {}, nil
	}
	var subs []*nats.Subscription
	stop = func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe()
		}
	}
	for _, event := range []string{"CREATED", "DELETED"} {
		sub, err := f.bus.nc.Subscribe("$JS.EVENT.ADVISORY.CONSUMER."+event+"."+f.bus.names[transport.StreamCommands]+".>", func(*nats.Msg) { f.bus.lookSoon() })
		if err != nil {
			stop()
			return nil, fmt.Errorf("watch the consumers of commands: %w", err)
		}
		subs = append(subs, sub)
	}
	return stop, nil
}

// replace deletes a stream whose storage is not as configured. JetStream cannot change the storage
// of a stream. The consumers of commands are stored first.
func (f *consumerFile) replace(ctx context.Context, s transport.Stream, old jetstream.Stream) error {
	have := old.CachedInfo()
	if s == transport.StreamCommands {
		if err := f.store(ctx, old); err != nil {
			return err
		}
	}
	f.bus.config.Logger.Info("replacing a NATS stream, because its storage is configured differently; pending commands are sent again", "stream", have.Config.Name,
		"from", have.Config.Storage.String(), "to", f.bus.wanted(s).Storage.String(), "messages", have.State.Msgs)
	if err := f.bus.js.DeleteStream(ctx, have.Config.Name); err != nil {
		return fmt.Errorf("delete stream %s to change its storage: %w", have.Config.Name, err)
	}
	return pause(ctx, afterDeletion)
}
