package natsbus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
)

// DriftError describes a stream whose configuration does not work or could lose messages. It
// includes a fix.
type DriftError struct {
	Stream string // name on the server, such as SAGA_COMMANDS
	Field  string
	Want   string
	Have   string
	Fix    string // a command, or a description
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("stream %s: %s is %s, must be %s; fix it with: %s", e.Stream, e.Field, e.Have, e.Want, e.Fix)
}

// wanted returns the expected configuration of a stream.
func (b *Bus) wanted(s transport.Stream) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:       b.names[s],
		Subjects:   []string{b.subjects.All(s)},
		Retention:  jetstream.LimitsPolicy,
		Discard:    jetstream.DiscardOld,
		Storage:    jetstream.FileStorage,
		Replicas:   b.config.Replicas,
		Duplicates: b.config.Duplicates,
		MaxMsgs:    -1,
	}
	if b.config.Memory && s.Repeatable() {
		c.Storage = jetstream.MemoryStorage
	}
	switch s {
	case transport.StreamCommands, transport.StreamEvents:
		c.Description = "Amends: " + string(s) + " that wait to be taken"
		c.Retention = jetstream.WorkQueuePolicy
		c.Discard = jetstream.DiscardNew // refuse new messages instead of removing old ones
		c.MaxBytes = b.config.QueueBytes
		c.MaxMsgSize = int32(b.config.MaxMessageBytes)
		if c.MaxMsgSize == 0 {
			c.MaxMsgSize = int32(max(b.nc.MaxPayload()-headroom, transport.MaxMessage))
		}
		if s == transport.StreamCommands {
			c.AllowMsgTTL = true
		} else {
			c.Metadata = map[string]string{metaBundle: strconv.Itoa(bundle.Most)}
		}
	case transport.StreamLifecycle:
		c.Description = "Amends: lifecycle events of sagas"
		c.MaxAge, c.MaxBytes = b.config.LifecycleAge, b.config.LifecycleBytes
	case transport.StreamDeadLetters:
		c.Description = "Amends: messages that could not be processed, with the reason"
		c.MaxAge, c.MaxBytes = b.config.DeadAge, b.config.DeadBytes
	}
	if c.MaxAge > 0 {
		c.Duplicates = min(c.Duplicates, c.MaxAge) // the server allows at most MaxAge
	}
	return c
}

// provision creates or checks all streams. If the server is not ready, it retries until ctx ends.
func (b *Bus) provision(ctx context.Context) error {
	if b.config.Provision == ProvisionAsk {
		return nil
	}
	line := waiting.On(b.config.told, "JetStream; is it enabled at the server, and does it have a leader?", b.config.ConnectWait)
	for {
		err := b.look(ctx)
		if err == nil {
			line.Over()
		}
		if err == nil || !notReady(err) {
			return err
		}
		line.Still(err)
		if pause(ctx, 200*time.Millisecond) != nil {
			return err
		}
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errNoPeers is the server's error "no suitable peers for placement", which includes a reason for
// each peer.
const errNoPeers jetstream.ErrorCode = 10005

// notReady reports whether an error may be temporary. This is the case if the server is starting,
// electing a leader, or does not know its peers yet.
func notReady(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == errNoPeers {
		return strings.Contains(api.Description, "offline")
	}
	return errors.Is(err, errNoCoordinator) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, context.DeadlineExceeded) || errors.As(err, &api) && api.Code == 503 && api.ErrorCode != jetstream.JSErrCodeJetStreamNotEnabled &&
		api.ErrorCode != jetstream.JSErrCodeJetStreamNotEnabledForAccount
}

// afterDeletion is the wait before a deleted stream is recreated. A server that is still deleting
// the stream (nats-server 2.15.2, one node) would give the new stream the files of the old one, and
// then never acknowledge a publish.
const afterDeletion = 500 * time.Millisecond

// ensure returns the state of a stream. If the stream is missing and the bus may create streams,
// ensure calls awaitDeletion and then creates the stream.
func (b *Bus) ensure(ctx context.Context, s transport.Stream, awaitDeletion func(context.Context) error) (info *jetstream.StreamInfo, created bool, err error) {
	ctx, cancel := b.question(ctx)
	defer cancel()
	want := b.wanted(s)
	handle, err := b.js.Stream(ctx, want.Name)
	if err == nil && b.replaceable(s, want, handle.CachedInfo().Config) {
		if err := b.consumers.replace(ctx, s, handle); err != nil {
			return nil, false, err
		}
		err = jetstream.ErrStreamNotFound
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if b.config.Provision != ProvisionCreate {
			return nil, false, fmt.Errorf("stream %s is missing; create it, or let the coordinator do it", want.Name)
		}
		if err := awaitDeletion(ctx); err != nil {
			return nil, false, err
		}
		crashpoint.Here(crashpoint.StreamMissing)
		handle, err = b.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another client has created it in the meantime
			handle, err = b.js.Stream(ctx, want.Name)
		} else {
			created = err == nil
		}
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), nats.ErrDisconnected) {
			err = nats.ErrDisconnected // the reason for the end of ctx
		}
		return nil, false, fmt.Errorf("stream %s: %w%s", want.Name, err, hint(err))
	}
	info = handle.CachedInfo()
	if changed, err := b.relimit(ctx, s, want, info.Config); err != nil {
		return info, created, err
	} else if changed != nil {
		info = changed
	}
	if s == transport.StreamCommands {
		b.copies.Store(int32(info.Config.Replicas))
	}
	if err := b.drift(s, info.Config); err != nil {
		return info, created, err
	}
	switch s {
	case transport.StreamCommands:
		b.expiring.Store(b.expire(ctx, info.Config))
	case transport.StreamEvents:
		b.readers.events.Store(int32(b.offer(ctx, want, info.Config)))
	}
	return info, created, nil
}

// replaceable reports whether a stream whose storage is not as configured may be replaced. That is
// the case for the queues of the server's owner: what they hold is pending in the store, and is sent
// or requested again.
func (b *Bus) replaceable(s transport.Stream, want, have jetstream.StreamConfig) bool {
	return s.Repeatable() && have.Storage != want.Storage && b.config.ConsumersFile != "" && b.config.Provision == ProvisionCreate
}

// relimit applies the configured limits to an existing stream, if the bus may do so. It returns nil
// if the limits are unchanged.
func (b *Bus) relimit(ctx context.Context, s transport.Stream, want, have jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	if want.MaxMsgSize == 0 { // MaxMessageBytes is not configured
		want.MaxMsgSize = have.MaxMsgSize
	}
	same := have.MaxBytes == want.MaxBytes && have.MaxAge == want.MaxAge && have.MaxMsgSize == want.MaxMsgSize
	if same || !b.config.given[s] || b.config.Provision != ProvisionCreate {
		return nil, nil
	}
	have.MaxBytes, have.MaxAge, have.MaxMsgSize = want.MaxBytes, want.MaxAge, want.MaxMsgSize
	if have.MaxAge > 0 {
		have.Duplicates = min(have.Duplicates, have.MaxAge)
	}
	changed, err := b.js.UpdateStream(ctx, have)
	if err != nil {
		return nil, fmt.Errorf("apply the configured limits to stream %s: %w%s", have.Name, err, hint(err))
	}
	b.config.Logger.Info("changed the limits of a NATS stream", "stream", have.Name, "bytes", want.MaxBytes, "age", want.MaxAge)
	return changed.CachedInfo(), nil
}

// expire enables per-message TTLs on the stream of commands, if the bus may change streams. It
// reports whether TTLs are enabled. Servers before 2.11 do not support TTLs.
func (b *Bus) expire(ctx context.Context, have jetstream.StreamConfig) bool {
	if have.AllowMsgTTL || b.config.Provision != ProvisionCreate {
		return have.AllowMsgTTL
	}
	have.AllowMsgTTL = true
	info, err := b.js.UpdateStream(ctx, have)
	if err != nil {
		b.config.Logger.Debug("message TTLs could not be enabled on the stream of commands; repeated commands stay there until they are received", "error", err)
		return false
	}
	return info.CachedInfo().Config.AllowMsgTTL
}

// offer marks the existing stream of events as accepting bundles, if the bus may change streams. It
// returns the maximum number of messages in a bundle.
func (b *Bus) offer(ctx context.Context, want, have jetstream.StreamConfig) int {
	n := bundleOf(have.Metadata)
	if n > 0 || b.config.Provision != ProvisionCreate {
		return n
	}
	have.Metadata = maps.Clone(have.Metadata)
	if have.Metadata == nil {
		have.Metadata = map[string]string{}
	}
	maps.Copy(have.Metadata, want.Metadata)
	if _, err := b.js.UpdateStream(ctx, have); err != nil {
		b.config.Logger.Debug("the stream of events could not be marked as accepting bundles; answers are sent one by one", "error", err)
		return 0
	}
	return bundleOf(want.Metadata)
}

// question bounds a request to the server by apiTimeout and by the lifetime of the connection. A
// request on a lost connection is never answered, and publishers would wait for its timeout after a
// restart of the server.
func (b *Bus) question(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, expire := context.WithTimeout(ctx, apiTimeout)
	ctx, cancel := context.WithCancelCause(ctx)
	lost := b.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		select {
		case <-lost:
			cancel(nats.ErrDisconnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		expire()
		b.nc.RemoveStatusListener(lost)
	}
}

// hint returns advice about an error of the server.
func hint(err error) string {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return "; start nats-server with -js, and enable JetStream for the account"
	case errors.As(err, &api) && api.ErrorCode == 10065:
		return "; its subjects overlap with another stream: use another prefix, or delete that stream"
	case errors.As(err, &api) && (api.ErrorCode == 10047 || api.ErrorCode == 10028):
		return "; give JetStream more storage, or lower the size limits of the streams"
	case errors.As(err, &api) && api.ErrorCode == 10074:
		return "; the NATS cluster has fewer servers than replicas"
	}
	return ""
}

// drift compares the settings of a stream that are critical for correctness. Only the bus that
// creates the streams knows whether its queues are in memory.
func (b *Bus) drift(s transport.Stream, have jetstream.StreamConfig) error {
	want := b.wanted(s)
	if s.Repeatable() && b.config.Provision != ProvisionCreate {
		want.Storage = have.Storage
	}
	return drift(want, have)
}

// drift compares the settings that are critical for correctness. Operators are free to choose
// descriptions, placement, larger limits and more replicas.
func drift(want, have jetstream.StreamConfig) error {
	var errs []error
	name := have.Name
	add := func(field string, w, h any, fix string) {
		errs = append(errs, &DriftError{Stream: name, Field: field, Want: fmt.Sprint(w), Have: fmt.Sprint(h), Fix: fix})
	}
	edit := "nats stream edit " + name + " "
	recreate := "nats stream rm " + name + " (it is recreated; back it up first with nats stream backup)"
	if have.Retention != want.Retention {
		add("retention", want.Retention, have.Retention, recreate)
	}
	if have.Storage != want.Storage {
		add("storage", want.Storage, have.Storage, recreate+", or configure the bus to match")
	}
	if !slices.ContainsFunc(have.Subjects, func(s string) bool { return s == want.Subjects[0] }) {
		add("subjects", strings.Join(want.Subjects, ","), strings.Join(have.Subjects, ","), edit+"--subjects "+strings.Join(want.Subjects, ","))
	}
	if have.Replicas < want.Replicas {
		add("replicas", want.Replicas, have.Replicas, fmt.Sprintf("%s--replicas %d", edit, want.Replicas))
	}
	if have.Discard != want.Discard {
		add("discard", word(want.Discard), word(have.Discard), edit+"--discard "+word(want.Discard))
	}
	if have.NoAck {
		add("no_ack", false, true, edit+"--ack")
	}
	if have.MaxMsgsPerSubject > 0 {
		add("max_msgs_per_subject", "unlimited", have.MaxMsgsPerSubject, edit+"--max-msgs-per-subject=-1")
	}
	if have.MaxMsgSize > 0 && have.MaxMsgSize < transport.MaxMessage {
		add("max_msg_size", fmt.Sprintf("%d or more", transport.MaxMessage), have.MaxMsgSize, fmt.Sprintf("%s--max-msg-size=%d", edit, MinPayload))
	}
	if want.Retention == jetstream.WorkQueuePolicy && have.MaxAge > 0 {
		add("max_age", "unlimited", have.MaxAge, edit+"--max-age=-1")
	}
	return errors.Join(errs...)
}

func word(d jetstream.DiscardPolicy) string {
	if d == jetstream.DiscardNew {
		return "new"
	}
	return "old"
}

// scan yields the headers of the dead letters on a subject, which may contain wildcards. It starts
// at the given sequence, and ends after the last dead letter or when yield returns false.
func (b *Bus) scan(ctx context.Context, subject string, from uint64, yield func(*scanned) bool) error {
	name := b.names[transport.StreamDeadLetters]
	consumer, err := b.js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
		Name: "scan-" + nuid.Next(), FilterSubject: subject, HeadersOnly: true, AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		InactiveThreshold: 30 * time.Second, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return fmt.Errorf("read the dead letters on %s: %w", subject, err)
	}
	info := consumer.CachedInfo()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = b.js.DeleteConsumer(ctx, name, info.Name) // otherwise the server deletes it later
	}()
	if info.NumPending == 0 {
		return nil
	}
	lost := make(chan struct{}, 1)
	puller, err := pull.New(pull.Config{
		Conn: b.nc, Stream: name, Consumer: info.Name, Prefetch: scanPrefetch, MaxBytes: 2 * int(b.nc.MaxPayload()), Heartbeat: b.config.Heartbeat,
		OnLost: func(string) {
			select {
			case lost <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return fmt.Errorf("read the dead letters on %s: %w", subject, err)
	}
	defer puller.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-lost:
			cancel(errScanLost)
		case <-ctx.Done():
		}
	}()
	for {
		batch, err := puller.Take(ctx, scanPrefetch)
		if err != nil {
			return fmt.Errorf("read the dead letters on %s: %w", subject, errors.Join(err, context.Cause(ctx)))
		}
		for _, m := range batch {
			if !yield(headersOf(m.Msg)) || replyNumber(m.Reply, 4) == 0 {
				return nil
			}
		}
	}
}

const scanPrefetch = 2048

var errScanLost = errors.New("the server stopped delivering messages; try again")
