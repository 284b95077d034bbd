package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/natsaccount"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// bus examines NATS.
func (e *exam) bus(ctx context.Context) {
	config, err := e.NATS(bare(e.overview.GetNats()), e.overview.GetOwner().GetPrefix())
	if err == nil {
		err = config.CheckFiles()
	}
	if err != nil {
		e.add("NATS", Problem, config.URL+": "+err.Error(), "give the address and credentials of NATS: --nats-url, --nats-creds")
		return
	}
	if e.overview.GetNats() == "" { // a NATS server named by flags may belong to another coordinator
		e.add("NATS of the coordinator", Unknown, "the coordinator did not say which NATS it uses; the following findings are about "+bare(cmp.Or(config.URL, nats.DefaultURL)),
			"find out first why the coordinator does not answer, or give its NATS with --nats-url")
	}
	config.Provision = natsbus.ProvisionVerify
	bus, err := dial(ctx, config)
	var drift *natsbus.DriftError
	switch {
	case errors.As(err, &drift):
		e.add("streams", Problem, err.Error(), drift.Fix)
		config.Provision = natsbus.ProvisionAsk
		if bus, err = dial(ctx, config); err != nil {
			return
		}
	case errors.Is(err, nats.ErrNoResponders):
		e.add("NATS", Problem, err.Error(), "JetStream does not answer: start nats-server with -js, or check that it has a leader with: nats server report jetstream")
		return
	case err != nil:
		e.add("NATS", Problem, err.Error(), "give the address and credentials of NATS: --nats-url, --nats-creds; a coordinator with an embedded server logs its address when it is ready")
		return
	default:
		e.add("streams", OK, "configured correctly", "")
	}
	defer func() { _ = bus.Close() }()
	e.connection(ctx, bus.Conn())
	js, err := jetstream.New(bus.Conn())
	if err != nil {
		e.add("JetStream", Problem, err.Error(), "start nats-server with -js")
		return
	}
	for _, s := range []transport.Stream{transport.StreamCommands, transport.StreamEvents} {
		e.stream(ctx, js, bus.StreamName(s))
	}
	e.owner(ctx, bus)
	e.account(ctx, js)
	e.subscriptions(ctx, js, bus)
}

// connectTimeout is the timeout for a server that accepts connections but does not answer. Without
// it, connecting would retry forever.
const connectTimeout = 30 * time.Second

// dial connects to NATS. It does not wait for a server that is down.
func dial(ctx context.Context, config natsbus.Config) (*natsbus.Bus, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config.Logger = slog.New(slog.DiscardHandler) // the findings report what Connect waits for
	config.Options = append(slices.Clip(config.Options), nats.RetryOnFailedConnect(false))
	return natsbus.Connect(ctx, config)
}

// connection examines encryption and authentication of NATS.
func (e *exam) connection(ctx context.Context, nc *nats.Conn) {
	address := nc.ConnectedUrl()
	_, err := nc.TLSConnectionState()
	switch {
	case err == nil:
		e.add("encryption of NATS", OK, "TLS", "")
	case local(address):
		e.add("encryption of NATS", OK, "none; the connection does not leave this machine", "")
	default:
		e.add("encryption of NATS", Problem, "commands, answers and passwords are sent over the network unencrypted", "configure a tls block in nats-server, and connect with tls:// and --nats-ca")
	}
	switch {
	case nc.AuthRequired():
		e.add("access to NATS", OK, "authentication is required", "")
		e.accounts(ctx, nc)
	case local(address):
		e.add("access to NATS", Warning, "everybody on this machine can publish messages and answer for any participant", "give each service its own user with permissions for its own subjects only; see docs/SECURITY-GUIDE.md")
	default:
		e.add("access to NATS", Problem, "everybody who can reach NATS can publish messages and answer for any participant", "give each service its own user with permissions for its own subjects only; see docs/SECURITY-GUIDE.md")
	}
}

// bare removes users and passwords from a URL, or from a list of URLs. The coordinator masks
// passwords, so they cannot be used.
func bare(list string) string {
	urls := strings.Split(list, ",")
	for i, one := range urls {
		if at := strings.LastIndex(one, "@"); at >= 0 {
			scheme, _, found := strings.Cut(one, "://")
			if !found {
				scheme = "nats"
			}
			urls[i] = scheme + "://" + one[at+1:]
		}
	}
	return strings.Join(urls, ",")
}

// owner examines which store owns the prefix, and whether this is the NATS server that the
// coordinator uses.
func (e *exam) owner(ctx context.Context, bus *natsbus.Bus) {
	const check = "owner of the prefix"
	entry, err := bus.Claims().Read(ctx)
	theirs := e.overview.GetOwner()
	switch c := entry.Claim; {
	case err != nil:
		e.add(check, Unknown, err.Error(), "use the coordinator's credentials")
	case theirs.GetOurs() && theirs.GetConfirmed() && (c == nil || c.Store != theirs.GetStore() || c.Number != theirs.GetClaim()):
		e.add("NATS", Problem, "this is not the coordinator's NATS: it does not hold the coordinator's claim", "the following findings are about another server; use the coordinator's: --nats-url "+bare(e.overview.GetNats()))
	case c == nil:
		e.add(check, Warning, "none: no coordinator has claimed the prefix on this NATS", "start a coordinator")
	case !c.Released.IsZero():
		e.add(check, Warning, fmt.Sprintf("none: store %s released it at %s", c.Store, c.Released.UTC().Format(time.RFC3339)), "start a coordinator")
	default:
		e.add(check, OK, fmt.Sprintf("store %s, on %s %s, since %s (claim %d)", c.Store, c.Host, c.Address, c.Since.UTC().Format(time.RFC3339), c.Number), "")
	}
}

// accounts examines which users share the coordinator's account.
func (e *exam) accounts(ctx context.Context, nc *nats.Conn) {
	const check = "accounts of NATS"
	switch account, err := natsaccount.Of(ctx, nc); {
	case err != nil:
		e.add(check, Unknown, err.Error(), "use the coordinator's credentials, and allow them to publish on $SYS.REQ.USER.INFO")
	case account == "$G":
		e.add(check, Problem, "all users are in one account: "+natsaccount.Risk, natsaccount.Fix)
	default:
		e.add(check, OK, "the coordinator is in the account "+account, "")
	}
}

// stream examines a stream that must not lose messages.
func (e *exam) stream(ctx context.Context, js jetstream.JetStream, name string) {
	asked := e.Now()
	s, err := js.Stream(ctx, name)
	if err != nil {
		e.add("stream "+name, Problem, err.Error(), "start a coordinator: it creates its streams")
		return
	}
	info := s.CachedInfo()
	c := info.Config
	if !info.TimeStamp.IsZero() && strings.HasSuffix(name, "COMMANDS") {
		e.clock("clock of NATS", info.TimeStamp, asked, 0)
	}
	switch clustered := info.Cluster != nil && info.Cluster.Name != ""; {
	case clustered && c.Replicas < 3:
		e.add("replicas of "+name, Warning, plural.Of(c.Replicas, "replica in a cluster: while its server is down, no saga makes progress", "replicas in a cluster: while one of their servers is down, no saga makes progress"), fmt.Sprintf("nats stream edit %s --replicas 3, and run the coordinator with --nats-replicas 3", name))
	case clustered:
		e.add("replicas of "+name, OK, plural.Of(c.Replicas, "replica", "replicas"), "")
	default:
		e.add("replicas of "+name, OK, "a single server: while it is down, no saga makes progress, and none is lost", "")
	}
	e.storage(info)
	if c.MaxBytes > 0 {
		share := float64(info.State.Bytes) / float64(c.MaxBytes)
		grade := OK
		if share > 0.8 {
			grade = Problem
		} else if share > 0.5 {
			grade = Warning
		}
		e.add("room in "+name, grade, fmt.Sprintf("%.0f %% of %d MiB", 100*share, c.MaxBytes>>20), "a consumer does not process its messages: see the subscriptions below; at 100 % publishing is refused")
	}
	horizon, where := e.horizon()
	switch {
	case where == "":
		e.add("window of "+name, Unknown, fmt.Sprintf("%s; there is no definition to compare it with", c.Duplicates), "register a definition, or use a token that may read definitions")
	case c.Duplicates < horizon:
		e.add("window of "+name, Warning, fmt.Sprintf("the duplicate window of %s is shorter than the timeout of %s (%s): a command that is sent again after the window is delivered twice; services with an inbox ignore the duplicate, others act twice", c.Duplicates, where, horizon),
			fmt.Sprintf("nats stream edit %s --dupe-window %s; or make sure that every participant has an inbox", name, horizon))
	default:
		e.add("window of "+name, OK, fmt.Sprintf("%s, longer than any timeout (%s)", c.Duplicates, horizon), "")
	}
}

// storage examines where a stream of commands or answers is kept.
func (e *exam) storage(info *jetstream.StreamInfo) {
	check := "storage of " + info.Config.Name
	switch clustered := info.Cluster != nil && info.Cluster.Name != ""; {
	case info.Config.Storage == jetstream.FileStorage:
		e.add(check, OK, "in files", "")
	case clustered:
		e.add(check, Problem, "in memory, in a cluster: a rolling restart loses it while the coordinator runs, and everybody waits until it is sent again", "stop the coordinator, delete the stream with nats stream rm "+info.Config.Name+", and start the coordinator: it creates the stream in files")
	default:
		e.add(check, OK, "in memory: what is in it is lost when the server stops, and pending commands are sent again at the next start", "")
	}
}

// horizon returns the longest timeout of all definitions, and the step that has it. A message may
// be resent within that time.
func (e *exam) horizon() (longest time.Duration, where string) {
	for _, d := range e.definitions {
		for i := range d.Len() {
			for _, dir := range []contract.Direction{contract.DirectionDo, contract.DirectionUndo} {
				a, ok := d.Action(i, dir)
				if timeout := time.Duration(a.Timeout); ok && timeout > longest {
					longest, where = timeout, fmt.Sprintf("%s %s of %s", dir, d.Step(i).Name, d.Ref())
				}
			}
		}
	}
	return longest, where
}

// account examines the storage limit of the JetStream account.
func (e *exam) account(ctx context.Context, js jetstream.JetStream) {
	const check = "storage of JetStream"
	info, err := js.AccountInfo(ctx)
	switch {
	case err != nil:
		e.add(check, Unknown, err.Error(), "use credentials that may request $JS.API.INFO")
	case info.Limits.MaxStore <= 0:
		e.add(check, OK, fmt.Sprintf("%d MiB in use, no limit", info.Store>>20), "")
	case float64(info.Store) > 0.8*float64(info.Limits.MaxStore):
		e.add(check, Problem, fmt.Sprintf("%d of %d MiB in use", info.Store>>20, info.Limits.MaxStore>>20), "raise the account's storage limit, or find out which streams use it")
	default:
		e.add(check, OK, fmt.Sprintf("%d of %d MiB in use", info.Store>>20, info.Limits.MaxStore>>20), "")
	}
}

// subscriptions examines the consumers of commands. It checks whether their services request
// messages, and whether handlers take longer than AckWait.
func (e *exam) subscriptions(ctx context.Context, js jetstream.JetStream, bus *natsbus.Bus) {
	load, stuck, err := twice(ctx, bus)
	if err != nil {
		e.add("subscriptions", Unknown, err.Error(), "use credentials that may read streams and consumers")
		return
	}
	for _, c := range load.Consumers {
		check := "subscription of " + c.Name
		if c.Stream == transport.StreamEvents { // the consumer is named after the coordinator's claim
			check = "subscription of the coordinator"
		}
		wait, shared := settings(ctx, js, bus.StreamName(c.Stream), c.Name)
		if shared && bus.Conn().AuthRequired() {
			e.add("account of "+c.Name, Problem, natsaccount.Risk, natsaccount.Fix)
		}
		switch {
		case stuck[subscription{c.Stream, c.Name}]:
			e.add(check, Warning, fmt.Sprintf("%s, and within %s none was delivered or acknowledged; delivered before and unacknowledged: %d", plural.Of(c.Pending, "message waits", "messages wait"), aMoment, c.InFlight),
				"check that the service runs; its log shows whether it reaches NATS and what it does. The standstills above show since when it is stuck")
		case c.Asking == 0 && c.Pending == 0:
			e.add(check, Warning, fmt.Sprintf("no client requests its messages; %d delivered before are unacknowledged", c.InFlight), "start the service; if it is gone for good: nats consumer rm "+bus.StreamName(c.Stream)+" "+c.Name)
		case c.Redelivered > 0:
			e.add(check, Warning, fmt.Sprintf("%d in flight, of which %d were redelivered: handlers take longer than AckWait (%s), or crash", c.InFlight, c.Redelivered, wait),
				"participants of the SDK extend AckWait by themselves; a participant of your own must send +WPI in time, or its consumer needs an AckWait longer than its slowest handler")
		default:
			e.add(check, OK, fmt.Sprintf("%d waiting, %d in flight, AckWait %s", c.Pending, c.InFlight, wait), "")
		}
	}
}

// subscription identifies a consumer of a stream.
type subscription struct {
	stream transport.Stream
	name   string
}

// aMoment is the time between two checks of consumers with waiting messages.
const aMoment = 2 * time.Second

// twice reads the state of the bus, and reads it again if messages are waiting. stuck contains the
// consumers with waiting messages that neither received nor acknowledged a message in between. A
// single check is not enough, because a busy service always has messages waiting.
func twice(ctx context.Context, bus *natsbus.Bus) (load natsbus.Load, stuck map[subscription]bool, err error) {
	if load, err = bus.Load(ctx); err != nil {
		return load, nil, err
	}
	waits := map[subscription]natsbus.ConsumerLoad{}
	for _, c := range load.Consumers {
		if c.Pending > 0 {
			waits[subscription{c.Stream, c.Name}] = c
		}
	}
	if len(waits) == 0 {
		return load, nil, nil
	}
	select {
	case <-time.After(aMoment):
	case <-ctx.Done():
	}
	if load, err = bus.Load(ctx); err != nil {
		return load, nil, err
	}
	stuck = map[subscription]bool{}
	for _, c := range load.Consumers {
		at := subscription{c.Stream, c.Name}
		w, waited := waits[at]
		stuck[at] = waited && c.Pending > 0 && c.Last == w.Last && c.AckFloor == w.AckFloor && c.RawInFlight == w.RawInFlight
	}
	return load, stuck, nil
}

// settings returns a consumer's AckWait, and whether its participant uses the coordinator's
// account.
func settings(ctx context.Context, js jetstream.JetStream, stream, name string) (ackWait time.Duration, shared bool) {
	c, err := js.Consumer(ctx, stream, name)
	if err != nil {
		return 0, false
	}
	return c.CachedInfo().Config.AckWait, natsaccount.Shared(c.CachedInfo().Config.Metadata)
}

// sync examines how often JetStream syncs its files. It asks the monitoring endpoint.
func (e *exam) sync(ctx context.Context) {
	const check = "sync of NATS's files"
	if e.Monitor == "" {
		e.add(check, Unknown, "only known to the monitoring endpoint of NATS", "give its address with --nats-monitor, such as http://127.0.0.1:8222")
		return
	}
	var page struct {
		Config struct {
			Interval time.Duration `json:"sync_interval"`
			Always   bool          `json:"sync_always"`
		} `json:"config"`
	}
	if err := e.fetch(ctx, strings.TrimSuffix(e.Monitor, "/")+"/jsz?config=true", &page); err != nil {
		e.add(check, Unknown, err.Error(), "check that this is the monitoring endpoint (http_port) of a NATS server")
		return
	}
	switch {
	case page.Config.Always:
		e.add(check, OK, "with every message; sagas do not need this, and it reduces throughput a lot", "")
	case page.Config.Interval > 2*time.Minute:
		e.add(check, Warning, fmt.Sprintf("every %s: a power failure loses messages of this period, and sagas wait until they are sent again", page.Config.Interval), "jetstream { sync_interval: 10s }")
	default:
		e.add(check, OK, fmt.Sprintf("every %s: a power failure loses messages of this period; no saga is lost, and pending messages are sent again", page.Config.Interval), "")
	}
}

// fetch reads a JSON document from a URL.
func (e *exam) fetch(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := e.Bare.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(into)
}
