package natsbus

import (
	"cmp"
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

// Config describes the connection to the server and the streams. The zero value connects to a
// server on this machine with all defaults.
type Config struct {
	// Settings of the connection. New does not use them.
	URL             string        // one or more, separated by commas; "" means nats://127.0.0.1:4222
	Name            string        // name of the connection on the server; "" means amends
	User, Password  string        // credentials; set one of User, Token, CredentialsFile, NKeyFile
	Token           string        //
	CredentialsFile string        // a .creds file (JWT and seed)
	NKeyFile        string        // a file with an nkey seed
	InboxPrefix     string        // prefix of reply subjects, see InboxPrefix; "" means _INBOX, which all clients share
	TLS             *tls.Config   // if nil, the URL decides whether TLS is used
	ConnectTimeout  time.Duration // timeout of one attempt to connect; 0 means 5 s
	ConnectWait     time.Duration // limit on waiting for server or coordinator; 0 means 10 min, negative no limit
	Options         []nats.Option // additional options, applied last
	// Responder holds the options of a second connection for answering requests. Its user may do
	// nothing else (RoleResponder). The credentials, InboxPrefix and Options above do not apply to
	// this connection. If Responder is nil, requests are answered on the main connection.
	Responder []nats.Option
	// ReplyPrefixes lists first tokens of additional subjects to which replies may be sent. Always
	// allowed are _INBOX.>, _INBOX_<user>.>, and _R_.>, which the server uses for requests from other
	// accounts.
	ReplyPrefixes []string

	// HideData keeps message data out of the log. Otherwise, the log line about a message that is
	// dropped without a dead letter contains the first 256 bytes of its data.
	HideData bool

	Prefix    string       // first token of every subject and stream; "" means transport.DefaultPrefix
	Provision Provisioning // who creates streams and consumers; by default the coordinator

	// Configuration of new streams. Existing streams are checked against it; limits of bytes and
	// age that are set here are also applied to them.
	Replicas        int           // number of replicas of each stream; 0 means 1
	QueueBytes      int64         // limit of commands, and of events; when full, new messages are refused; 0 means 512 MiB
	LifecycleBytes  int64         // limit of lifecycle; when full, the oldest messages are removed; 0 means 256 MiB
	DeadBytes       int64         // limit of dead-letters; when full, the oldest messages are removed; 0 means 256 MiB
	LifecycleAge    time.Duration // maximum age of lifecycle messages; 0 means 7 days
	DeadAge         time.Duration // maximum age of dead letters; 0 means 30 days
	Duplicates      time.Duration // deduplication window; 0 means 2 min
	MaxMessageBytes int           // limit of a command or event with headers; 0 means the server's limit less 32 KiB

	PublishTimeout time.Duration // how long a publish waits for the server's acknowledgement; 0 means 5 s
	MaxPublishing  int           // maximum publishes in flight; 0 means 4096
	Prefetch       int           // deliveries buffered for a source, at most Subscription.MaxInFlight; 0 means 1024
	Heartbeat      time.Duration // within this time a silent server is noticed; 0 means 500 ms
	CheckInterval  time.Duration // time between checks of the streams; 0 means 3 s

	// Memory keeps commands and answers in memory instead of files. The server loses both when it
	// stops, so it is only for a single server whose coordinator stops with it. Announcements, dead
	// letters and the claim stay in files, because nobody sends them again.
	Memory bool
	// ConsumersFile is for the coordinator that owns the server. It names a file that holds the
	// consumers of the stream of commands while that stream is in memory; the bus creates them again
	// with the stream. The bus then also replaces a stream of commands or answers whose storage is
	// not as Memory says. If ConsumersFile is "", such a stream is an error.
	ConsumersFile string

	Logger *slog.Logger              // for background errors, rate-limited, and for waits; if nil, slog.Default()
	told   *slog.Logger              // for waits, not rate-limited
	given  map[transport.Stream]bool // streams with a configured limit

	// OnMalformed, if not nil, is called for every message that is dead-lettered because it cannot be
	// decoded. It must not block.
	OnMalformed func(stream transport.Stream, reason string)
}

// Provisioning says how the bus treats streams and consumers.
type Provisioning int

// Kinds of Provisioning.
const (
	// ProvisionAsk leaves streams to the coordinator and asks it to create the participant's consumer. It is
	// for participants and callers: their JetStream permissions only allow them to pull, acknowledge,
	// and publish their own messages. With Ask, Resets never signals, and the bus creates all other
	// consumers itself.
	ProvisionAsk Provisioning = iota
	// ProvisionCreate creates missing streams and consumers and checks existing ones. It is for the
	// coordinator, and for use without a coordinator.
	ProvisionCreate
	// ProvisionVerify checks streams and reports missing ones. It creates consumers.
	ProvisionVerify
)

// maxInboxPrefix bounds the prefix of reply subjects, in bytes, so that a reply subject and the
// longest other subject fit into one protocol line.
const maxInboxPrefix = 256

// Validate returns all problems of the configuration, joined into one error.
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
		errs = append(errs, fmt.Errorf("max message bytes is %d; use at least %d, the size of the largest command of a saga, or 0 for the default", c.MaxMessageBytes, transport.MaxMessage))
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		errs = append(errs, fmt.Errorf("replicas is %d; use 1 to 5", c.Replicas))
	}
	if c.Memory && c.Replicas > 1 {
		errs = append(errs, fmt.Errorf("memory is set with %d replicas; use one replica: a rolling restart of a cluster would lose the streams in memory", c.Replicas))
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
		errs = append(errs, fmt.Errorf("heartbeat is %s; use a value from 0 to %s", c.Heartbeat, pullExpiry/2))
	}
	if c.QueueBytes < 0 || c.LifecycleBytes < 0 || c.DeadBytes < 0 {
		errs = append(errs, errors.New("a stream's maximum size is negative; give a number of bytes, or 0 for the default"))
	}
	for _, s := range []struct {
		what  string
		value time.Duration
	}{
		{"connect timeout", c.ConnectTimeout}, {"lifecycle age", c.LifecycleAge}, {"dead age", c.DeadAge}, {"duplicates", c.Duplicates},
		{"publish timeout", c.PublishTimeout}, {"check interval", c.CheckInterval},
	} {
		if s.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %s; use a positive time, or 0 for the default", s.what, s.value))
		}
	}
	if c.MaxPublishing < 0 || c.Prefetch < 0 {
		errs = append(errs, fmt.Errorf("max publishing is %d and prefetch is %d; use positive numbers, or 0 for the default", c.MaxPublishing, c.Prefetch))
	}
	return errors.Join(errs...)
}

// CheckFiles returns the problems of CredentialsFile and NKeyFile. It returns nil if they are valid
// or not set. Connect also reads these files.
func (c Config) CheckFiles() error { return c.credentials().CheckFiles() }

func (c Config) credentials() Credentials {
	return Credentials{User: c.User, Password: c.Password, Token: c.Token, CredentialsFile: c.CredentialsFile, NKeyFile: c.NKeyFile}
}

func (c Config) withDefaults() Config {
	c.given = map[transport.Stream]bool{
		transport.StreamCommands: c.QueueBytes != 0 || c.MaxMessageBytes != 0, transport.StreamEvents: c.QueueBytes != 0 || c.MaxMessageBytes != 0,
		transport.StreamLifecycle:   c.LifecycleBytes != 0 || c.LifecycleAge != 0,
		transport.StreamDeadLetters: c.DeadBytes != 0 || c.DeadAge != 0,
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
	c.told = cmp.Or(c.Logger, slog.Default())
	c.Logger = loglimit.Logger(c.told)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// options returns the options of the main connection.
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

// basic returns the options of every connection.
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
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { // the default writes to stderr
			c.Logger.Warn("NATS connection error", "error", err)
		}),
	}
	if c.TLS != nil {
		options = append(options, nats.Secure(c.TLS))
	}
	return options
}

// Credentials authenticate a client. At most one of User, Token, CredentialsFile and NKeyFile may
// be set.
type Credentials struct {
	User, Password  string
	Token           string
	CredentialsFile string // a .creds file (JWT and seed)
	NKeyFile        string // a file with an nkey seed
}

// Options returns connection options with the credentials that are set.
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

// CheckFiles returns the problems of CredentialsFile and NKeyFile. It returns nil if both are valid
// or not set.
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

// holdsSeed returns an error unless the file contains the seed of an nkey. The error does not quote
// the file's content.
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

// ownerStream returns the name of the stream of claims on the server.
func (c Config) ownerStream() string {
	return strings.TrimSuffix(c.streamName(transport.StreamCommands), "COMMANDS") + "OWNER"
}

// streamName returns a stream's name on the server: the prefix and the kind in capitals, such as
// SAGA_COMMANDS.
func (c Config) streamName(s transport.Stream) string {
	kind := strings.ToUpper(string(s))
	if s == transport.StreamDeadLetters {
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
