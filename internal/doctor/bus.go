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
		e.add("NATS", Problem, config.URL+": "+err.Error(), "say where NATS is and who you are there: --nats-url, --nats-creds")
		return
	}
	if e.overview.GetNats() == "" { // whatever is found there may be another coordinator's
		e.add("NATS of the coordinator", Unknown, "it does not say which one it uses; what follows is about "+bare(cmp.Or(config.URL, nats.DefaultURL)),
			"see first why the coordinator does not answer, or name its NATS with --nats-url")
	}
	config.Provision = natsbus.Verify
	bus, err := dial(ctx, config)
	var drift *natsbus.DriftError
	switch {
	case errors.As(err, &drift):
		e.add("streams", Problem, err.Error(), drift.Fix)
		config.Provision = natsbus.Ask
		if bus, err = dial(ctx, config); err != nil {
			return
		}
	case errors.Is(err, nats.ErrNoResponders):
		e.add("NATS", Problem, err.Error(), "nobody answers for JetStream there: start nats-server with -js, or see whether it has a leader: nats server report jetstream")
		return
	case err != nil:
		e.add("NATS", Problem, err.Error(), "say where NATS is and who you are there: --nats-url, --nats-creds; a coordinator with an embedded server logs its address when it is ready")
		return
	default:
		e.add("streams", OK, "are as they should be", "")
	}
	defer func() { _ = bus.Close() }()
	e.connection(ctx, bus.Conn())
	js, err := jetstream.New(bus.Conn())
	if err != nil {
		e.add("JetStream", Problem, err.Error(), "start nats-server with -js")
		return
	}
	for _, s := range []transport.Stream{transport.Commands, transport.Events} {
		e.stream(ctx, js, bus.StreamName(s))
	}
	e.owner(ctx, bus)
	e.account(ctx, js)
	e.subscriptions(ctx, js, bus)
}

// connectTimeout is how long a server that takes connections may take to answer; a bus would
// wait for ever.
const connectTimeout = 30 * time.Second

// dial connects, and does not wait for a server that is not there.
func dial(ctx context.Context, config natsbus.Config) (*natsbus.Bus, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config.Logger = slog.New(slog.DiscardHandler) // findings say what it waits for
	config.Options = append(slices.Clip(config.Options), nats.RetryOnFailedConnect(false))
	return natsbus.Connect(ctx, config)
}

// connection examines how one gets in.
func (e *exam) connection(ctx context.Context, nc *nats.Conn) {
	address := nc.ConnectedUrl()
	_, err := nc.TLSConnectionState()
	switch {
	case err == nil:
		e.add("encryption of NATS", OK, "TLS", "")
	case local(address):
		e.add("encryption of NATS", OK, "none, and it does not leave this machine", "")
	default:
		e.add("encryption of NATS", Problem, "commands, answers and passwords cross the network as they are", "give nats-server a tls block, and connect with tls:// and --nats-ca")
	}
	switch {
	case nc.AuthRequired():
		e.add("access to NATS", OK, "nobody is let in without a key", "")
		e.accounts(ctx, nc)
	case local(address):
		e.add("access to NATS", Warning, "anybody on this machine may publish, and answer for any participant", "give each service a user of its own, whose permissions hold it to its own subjects; docs/SECURITY-GUIDE.md says how")
	default:
		e.add("access to NATS", Problem, "anybody who reaches it may publish, and answer for any participant", "give each service a user of its own, whose permissions hold it to its own subjects; docs/SECURITY-GUIDE.md says how")
	}
}

// bare is a URL, or several, without users and passwords, which are masked in what the
// coordinator says.
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

// owner examines whose the prefix is, and whether this is the bus that the coordinator uses.
func (e *exam) owner(ctx context.Context, bus *natsbus.Bus) {
	const check = "owner of the prefix"
	entry, err := bus.Claims().Read(ctx)
	theirs := e.overview.GetOwner()
	switch c := entry.Claim; {
	case err != nil:
		e.add(check, Unknown, err.Error(), "use the coordinator's credentials")
	case theirs.GetOurs() && theirs.GetSure() && (c == nil || c.Store != theirs.GetStore() || c.Number != theirs.GetClaim()):
		e.add("NATS", Problem, "this is not the NATS that the coordinator uses: its claim is not here", "what follows is about another server; look at the coordinator's: --nats-url "+bare(e.overview.GetNats()))
	case c == nil:
		e.add(check, Warning, "nobody: no coordinator has claimed it since the bus was empty", "start a coordinator")
	case !c.Released.IsZero():
		e.add(check, Warning, fmt.Sprintf("nobody: the store %s has given it up at %s", c.Store, c.Released.UTC().Format(time.RFC3339)), "start a coordinator")
	default:
		e.add(check, OK, fmt.Sprintf("the store %s, on %s %s, since %s (claim %d)", c.Store, c.Host, c.Address, c.Since.UTC().Format(time.RFC3339), c.Number), "")
	}
}

// accounts examines who shares the coordinator's account.
func (e *exam) accounts(ctx context.Context, nc *nats.Conn) {
	const check = "accounts of NATS"
	switch account, err := natsbus.AccountOf(ctx, nc); {
	case err != nil:
		e.add(check, Unknown, err.Error(), "use the coordinator's credentials, and let them publish on $SYS.REQ.USER.INFO")
	case account == "$G":
		e.add(check, Problem, "all users are in one account: "+natsbus.SharedAccount, natsbus.SharedAccountFix)
	default:
		e.add(check, OK, "the coordinator is in the account "+account, "")
	}
}

// stream examines one stream of messages that must not be dropped.
func (e *exam) stream(ctx context.Context, js jetstream.JetStream, name string) {
	asked := e.Now()
	s, err := js.Stream(ctx, name)
	if err != nil {
		e.add("stream "+name, Problem, err.Error(), "start a coordinator: it makes its streams")
		return
	}
	info := s.CachedInfo()
	c := info.Config
	if !info.TimeStamp.IsZero() && strings.HasSuffix(name, "COMMANDS") {
		e.clock("clock of NATS", info.TimeStamp, asked, 0)
	}
	switch clustered := info.Cluster != nil && info.Cluster.Name != ""; {
	case clustered && c.Replicas < 3:
		e.add("replicas of "+name, Warning, plural.Of(c.Replicas, "copy in a cluster: when its server is away, no saga moves", "copies in a cluster: when one of their servers is away, no saga moves"), fmt.Sprintf("nats stream edit %s --replicas 3, and run the coordinator with --nats-replicas 3", name))
	case clustered:
		e.add("replicas of "+name, OK, plural.Of(c.Replicas, "copy", "copies"), "")
	default:
		e.add("replicas of "+name, OK, "one server, one copy: while it is away no saga moves, and none is lost", "")
	}
	if c.MaxBytes > 0 {
		share := float64(info.State.Bytes) / float64(c.MaxBytes)
		grade := OK
		if share > 0.8 {
			grade = Problem
		} else if share > 0.5 {
			grade = Warning
		}
		e.add("room in "+name, grade, fmt.Sprintf("%.0f %% of %d MiB", 100*share, c.MaxBytes>>20), "somebody does not take their messages: see subscriptions below; at 100 % publishing is refused")
	}
	horizon, where := e.horizon()
	switch {
	case where == "":
		e.add("window of "+name, Unknown, fmt.Sprintf("%s, and no definition to hold it against", c.Duplicates), "register a definition, or give a token that may read them")
	case c.Duplicates < horizon:
		e.add("window of "+name, Warning, fmt.Sprintf("a message that is sent again after %s is delivered twice, and %s waits %s for its answer; an inbox bears that, a service without one acts twice", c.Duplicates, where, horizon),
			fmt.Sprintf("nats stream edit %s --dupe-window %s; or see that every participant has an inbox", name, horizon))
	default:
		e.add("window of "+name, OK, fmt.Sprintf("%s, longer than any attempt (%s)", c.Duplicates, horizon), "")
	}
}

// horizon is the longest attempt of all definitions, and whose it is: within it a
// message may be sent again.
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

// account examines what JetStream may use.
func (e *exam) account(ctx context.Context, js jetstream.JetStream) {
	const check = "storage of JetStream"
	info, err := js.AccountInfo(ctx)
	switch {
	case err != nil:
		e.add(check, Unknown, err.Error(), "use credentials that may ask for $JS.API.INFO")
	case info.Limits.MaxStore <= 0:
		e.add(check, OK, fmt.Sprintf("%d MiB in use, no limit of the account", info.Store>>20), "")
	case float64(info.Store) > 0.8*float64(info.Limits.MaxStore):
		e.add(check, Problem, fmt.Sprintf("%d of %d MiB in use", info.Store>>20, info.Limits.MaxStore>>20), "give the account more storage, or find out whose messages lie there")
	default:
		e.add(check, OK, fmt.Sprintf("%d of %d MiB in use", info.Store>>20, info.Limits.MaxStore>>20), "")
	}
}

// subscriptions examines who takes commands: that somebody asks, and that handlers
// do not outlast what the server waits for them.
func (e *exam) subscriptions(ctx context.Context, js jetstream.JetStream, bus *natsbus.Bus) {
	load, stuck, err := twice(ctx, bus)
	if err != nil {
		e.add("subscriptions", Unknown, err.Error(), "use credentials that may look at streams and consumers")
		return
	}
	for _, c := range load.Consumers {
		check := "subscription of " + c.Name
		if c.Stream == transport.Events { // its name is its claim's
			check = "subscription of the coordinator"
		}
		wait, shared := settings(ctx, js, bus.StreamName(c.Stream), c.Name)
		if shared && bus.Conn().AuthRequired() {
			e.add("account of "+c.Name, Problem, natsbus.SharedAccount, natsbus.SharedAccountFix)
		}
		switch {
		case stuck[subscription{c.Stream, c.Name}]:
			e.add(check, Warning, fmt.Sprintf("%s, and within %s none was given or acknowledged; given before and not answered: %d", plural.Of(c.Pending, "message waits", "messages wait"), aMoment, c.InFlight),
				"is the service there? If it is, its log says whether it reaches the bus and what it is busy with; the coordinator's standstills, above, say for how long")
		case c.Asking == 0 && c.Pending == 0:
			e.add(check, Warning, fmt.Sprintf("nobody asks for its messages now; %d were given before and are not answered", c.InFlight), "start the service; if it is gone for good: nats consumer rm "+bus.StreamName(c.Stream)+" "+c.Name)
		case c.Redelivered > 0:
			e.add(check, Warning, fmt.Sprintf("of the messages under way, %d, more than once were given: %d. Handlers take longer than AckWait (%s), or die", c.InFlight, c.Redelivered, wait),
				"participants of the SDK say in time that they are alive; one of your own has to send +WPI, or its consumer needs a longer AckWait than its slowest handler")
		default:
			e.add(check, OK, fmt.Sprintf("%d wait, %d under way, AckWait %s", c.Pending, c.InFlight, wait), "")
		}
	}
}

// subscription is a consumer of a stream.
type subscription struct {
	stream transport.Stream
	name   string
}

// aMoment is what lies between two looks at subscriptions for which something waits.
const aMoment = 2 * time.Second

// twice looks at what lies on the bus, and when something waits for somebody once more:
// stuck are those for whom it waits and who have neither been given nor acknowledged a message
// since. One look does not tell: requests of a busy service are answered at once.
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

// settings are how long the server waits for an acknowledgement of a consumer, and whether
// its participant is in the coordinator's account.
func settings(ctx context.Context, js jetstream.JetStream, stream, name string) (ackWait time.Duration, shared bool) {
	c, err := js.Consumer(ctx, stream, name)
	if err != nil {
		return 0, false
	}
	return c.CachedInfo().Config.AckWait, natsbus.InCoordinatorsAccount(c.CachedInfo().Config.Metadata)
}

// sync asks the monitoring how often JetStream syncs its files.
func (e *exam) sync(ctx context.Context) {
	const check = "sync of NATS's files"
	if e.Monitor == "" {
		e.add(check, Unknown, "only the server's monitoring says it", "give its address with --nats-monitor, such as http://127.0.0.1:8222")
		return
	}
	var page struct {
		Config struct {
			Interval time.Duration `json:"sync_interval"`
			Always   bool          `json:"sync_always"`
		} `json:"config"`
	}
	if err := e.fetch(ctx, strings.TrimSuffix(e.Monitor, "/")+"/jsz?config=true", &page); err != nil {
		e.add(check, Unknown, err.Error(), "is this the address of a server's monitoring (http_port)?")
		return
	}
	switch {
	case page.Config.Always:
		e.add(check, OK, "with every message; sagas do not need that, and it costs most of the throughput", "")
	case page.Config.Interval > 2*time.Minute:
		e.add(check, Warning, fmt.Sprintf("every %s: a power cut costs so much of the bus, and sagas wait until it is sent again", page.Config.Interval), "jetstream { sync_interval: 10s }")
	default:
		e.add(check, OK, fmt.Sprintf("every %s: a power cut costs so much of the bus; no saga is lost, what was pending is sent again", page.Config.Interval), "")
	}
}

// fetch reads a JSON page.
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
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(into)
}
