package natsbus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/strict"
)

// Config says where the server is and what the streams are like. The zero value
// is a server on this machine with all defaults.
type Config struct {
	// The connection. Not used by New, which is given one.
	URL             string        // one or more, separated by commas; "": nats://127.0.0.1:4222
	Name            string        // of the connection, shown by the server; "": amends
	User, Password  string        // credentials: at most one kind is needed
	Token           string        //
	CredentialsFile string        // a .creds file (JWT and seed)
	NKeyFile        string        // a file with an nkey seed
	InboxPrefix     string        // of the subjects on which replies come, see InboxPrefix; "": _INBOX, which everybody shares
	TLS             *tls.Config   // nil: as the URL says
	ConnectTimeout  time.Duration // of one attempt; 0: 5 s
	ConnectWait     time.Duration // how long a server that is not there, or a coordinator that makes no consumer, is waited for; 0: 10 min; negative: until the context ends
	Options         []nats.Option // further ones, applied last
	// Responder are options of one more connection, over which requests are answered: the
	// credentials of a user who may do that and nothing else (ResponderGrant). Of those
	// above, the credentials, InboxPrefix and Options do not count for it. nil: they are
	// answered over the same connection.
	Responder []nats.Option
	// ReplyPrefixes are the first tokens of subjects on which replies may be sent, beside
	// inboxes: _INBOX.>, _INBOX_<user>.>, and _R_.>, which stands for one in another account.
	ReplyPrefixes []string

	// HideData keeps data out of the log; without it a line about a message that is dropped,
	// and is in no dead letter, has the first 256 bytes of it.
	HideData bool

	Prefix    string       // first token of every subject and stream; "": transport.DefaultPrefix
	Provision Provisioning // who makes streams and consumers; default: Ask, the coordinator

	// What new streams are like, and what existing ones are held against. Bytes and ages that
	// are given, and not left to their defaults, are given to existing streams too.
	Replicas        int           // copies of each stream; 0: 1
	Memory          bool          // keep streams in memory instead of files
	QueueBytes      int64         // bound of commands and of events, each; at it, publishing is refused; 0: 512 MiB
	LifecycleBytes  int64         // bound of lifecycle; at it, the oldest go; 0: 256 MiB
	DeadBytes       int64         // bound of dead-letters; at it, the oldest go; 0: 256 MiB
	LifecycleAge    time.Duration // how long lifecycle is kept; 0: 7 days
	DeadAge         time.Duration // how long dead letters are kept; 0: 30 days
	Duplicates      time.Duration // window of deduplication; 0: 2 min
	MaxMessageBytes int           // bound of a command or event with headers; 0: what the server takes less 32 KiB, which dead letters need

	PublishTimeout time.Duration // how long a publish waits for the server's word; 0: 5 s
	MaxPublishing  int           // publishes that wait for it at the same time; 0: 4096
	Prefetch       int           // deliveries held ready for a source; 0: 1024, at most Subscription.MaxInFlight
	Heartbeat      time.Duration // within which a silent server is noticed; 0: 500 ms
	CheckInterval  time.Duration // between looks at the streams; 0: 3 s

	Logger *slog.Logger              // for what goes wrong in the background, repeated lines of one kind limited; nil: silent, but for what is waited for, which goes to slog.Default()
	told   *slog.Logger              // of what is waited for; nil: slog.Default()
	given  map[transport.Stream]bool // streams some limit of which is given

	// OnMalformed is told of every message that could not be decoded and goes to the
	// dead letters. It must not block. nil: nobody is told.
	OnMalformed func(stream transport.Stream, reason string)
}

// Provisioning says what the bus does about streams and consumers.
type Provisioning int

// The ways.
const (
	// Ask leaves streams to the coordinator, and asks it for a participant's consumer: for
	// participants and callers, who need no right at JetStream beyond pulling, acknowledging
	// and publishing their own. Resets never signals. Other consumers it makes itself.
	Ask Provisioning = iota
	// Create makes what is missing and checks what is there: for the coordinator, and where
	// there is none.
	Create
	// Verify checks streams and reports a missing one; it makes consumers.
	Verify
)

// maxInboxPrefix bounds the subjects on which replies come, so that one fits a line
// of the protocol beside the longest subject.
const maxInboxPrefix = 256

// Validate reports all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if err := transport.CheckPrefix(c.Prefix); err != nil {
		errs = append(errs, fmt.Errorf("prefix: %w", err))
	}
	if c.InboxPrefix != "" {
		if err := errors.Join(transport.CheckLength("it", c.InboxPrefix, maxInboxPrefix), transport.CheckSubject(c.InboxPrefix)); err != nil {
			errs = append(errs, fmt.Errorf("inbox prefix: %w", err))
		}
	}
	if c.MaxMessageBytes != 0 && c.MaxMessageBytes < transport.MaxMessage {
		errs = append(errs, fmt.Errorf("max message bytes is %d; a saga's largest command has %d, so give at least as many, or 0", c.MaxMessageBytes, transport.MaxMessage))
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		errs = append(errs, fmt.Errorf("replicas is %d; JetStream keeps 1 to 5 copies", c.Replicas))
	}
	kinds := 0
	for _, given := range []bool{c.User != "", c.Token != "", c.CredentialsFile != "", c.NKeyFile != ""} {
		if given {
			kinds++
		}
	}
	if kinds > 1 {
		errs = append(errs, errors.New("more than one of user, token, credentials file and nkey file is given; give one"))
	}
	if c.Heartbeat < 0 || c.Heartbeat > pullExpiry/2 {
		errs = append(errs, fmt.Errorf("heartbeat is %s; use up to %s", c.Heartbeat, pullExpiry/2))
	}
	if c.QueueBytes < 0 || c.LifecycleBytes < 0 || c.DeadBytes < 0 {
		errs = append(errs, errors.New("a stream's bytes are negative; streams are bounded, so that a full one refuses instead of filling the disk"))
	}
	return errors.Join(errs...)
}

// CheckFiles returns what is wrong with CredentialsFile and NKeyFile; nil: nothing, or
// there are none. Connect reads them too.
func (c Config) CheckFiles() error { return c.credentials().CheckFiles() }

func (c Config) credentials() Credentials {
	return Credentials{User: c.User, Password: c.Password, Token: c.Token, CredentialsFile: c.CredentialsFile, NKeyFile: c.NKeyFile}
}

func (c Config) withDefaults() Config {
	c.given = map[transport.Stream]bool{
		transport.Commands: c.QueueBytes != 0 || c.MaxMessageBytes != 0, transport.Events: c.QueueBytes != 0 || c.MaxMessageBytes != 0,
		transport.Lifecycle:   c.LifecycleBytes != 0 || c.LifecycleAge != 0,
		transport.DeadLetters: c.DeadBytes != 0 || c.DeadAge != 0,
	}
	def(&c.URL, nats.DefaultURL)
	def(&c.Name, "amends")
	def(&c.ConnectTimeout, 5*time.Second)
	def(&c.Prefix, transport.DefaultPrefix)
	def(&c.Replicas, 1)
	def(&c.QueueBytes, 512<<20)
	def(&c.LifecycleBytes, 256<<20)
	def(&c.DeadBytes, 256<<20)
	def(&c.LifecycleAge, 7*24*time.Hour)
	def(&c.DeadAge, 30*24*time.Hour)
	def(&c.Duplicates, 2*time.Minute)
	def(&c.PublishTimeout, 5*time.Second)
	def(&c.MaxPublishing, 4096)
	def(&c.Prefetch, 1024)
	def(&c.Heartbeat, 500*time.Millisecond)
	def(&c.CheckInterval, 3*time.Second)
	def(&c.ConnectWait, waiting.Limit)
	if c.Logger != nil {
		c.told = c.Logger
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = loglimit.Logger(c.Logger)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// options are those of the connection.
func (c Config) options() ([]nats.Option, error) {
	options := c.basic()
	credentials, err := c.credentials().Options()
	if err != nil {
		return nil, err
	}
	options = append(options, credentials...)
	if c.InboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	return append(options, c.Options...), nil
}

// basic are the options of every connection.
func (c Config) basic() []nats.Option {
	options := []nats.Option{
		nats.Name(c.Name),
		nats.Timeout(c.ConnectTimeout),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.SetCustomDialer(strict.Dialer{Timeout: c.ConnectTimeout}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { // else it writes to stderr
			c.Logger.Warn("NATS connection", "error", err)
		}),
	}
	if c.TLS != nil {
		options = append(options, nats.Secure(c.TLS))
	}
	return options
}

// Credentials prove to a server who connects: at most one kind is needed.
type Credentials struct {
	User, Password  string
	Token           string
	CredentialsFile string // a .creds file (JWT and seed)
	NKeyFile        string // a file with an nkey seed
}

// Options are those of a connection with the credentials; none: it has none.
func (c Credentials) Options() (options []nats.Option, err error) {
	if c.User != "" {
		options = append(options, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		options = append(options, nats.Token(c.Token))
	}
	if c.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(c.CredentialsFile))
	}
	if c.NKeyFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(c.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read nkey file %s: %w", c.NKeyFile, err)
		}
		options = append(options, nkey)
	}
	return options, nil
}

// CheckFiles returns what is wrong with the files; nil: nothing, or there are none.
func (c Credentials) CheckFiles() error {
	var errs []error
	if c.CredentialsFile != "" {
		if err := holdsSeed(c.CredentialsFile); err != nil {
			errs = append(errs, fmt.Errorf("read credentials file %s: %w", c.CredentialsFile, err))
		}
	}
	if c.NKeyFile != "" {
		if err := holdsSeed(c.NKeyFile); err != nil {
			errs = append(errs, fmt.Errorf("read nkey file %s: %w", c.NKeyFile, err))
		}
	}
	return errors.Join(errs...)
}

// holdsSeed returns an error unless a file holds the seed of an nkey. It says nothing of
// what else it holds.
func holdsSeed(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	pair, err := nkeys.ParseDecoratedNKey(data)
	clear(data)
	if err != nil {
		return err
	}
	pair.Wipe()
	return nil
}

// ownerStream is how the stream of claims is called on the server.
func (c Config) ownerStream() string {
	return strings.TrimSuffix(c.streamName(transport.Commands), "COMMANDS") + "OWNER"
}

// streamName is how a stream is called on the server: the prefix and the kind in
// capitals, such as SAGA_COMMANDS.
func (c Config) streamName(s transport.Stream) string {
	kind := strings.ToUpper(string(s))
	if s == transport.DeadLetters {
		kind = "DEAD"
	}
	clean := func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}
	return strings.Map(clean, strings.ToUpper(c.Prefix)) + "_" + kind
}
