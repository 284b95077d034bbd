package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/otlp"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// Config configures a Server. DataDir is required, unless both Store and NATS.URL are set. The zero
// value of every other field selects its default.
type Config struct {
	// DataDir holds all persistent data: the store, the embedded server's streams and the secret.
	// It is created with mode 0700 if it does not exist. Only one process may use it at a time.
	DataDir string
	// Store replaces the boltstore in DataDir. The caller owns it, and closes it after Run has
	// returned. Default: nil, a boltstore.
	Store store.Store
	// StoreKeys names a file of keys (see seal.LoadKeys) that encrypt payloads and other user
	// data in the boltstore and in the embedded server's streams. Default: no encryption.
	StoreKeys string
	// NATS configures the NATS server. Default: an embedded server.
	NATS NATS
	// TakeOver takes over the prefix even if another store has claimed it. Default: false; Run then
	// waits for the claim, or returns an error.
	TakeOver bool
	// Prefix is the first token, or the first tokens, of all subjects. Default: "saga".
	Prefix string
	// HTTP is the host:port for the API, health and metrics; port 0 selects a free port. Default:
	// none.
	HTTP string
	// API determines who may use the API at HTTP. Default: APILocal, or everybody with a key if
	// Access is set.
	API API
	// Redact names JSON fields whose values the API hides. Default: none.
	Redact []string
	// Access configures who may use HTTP, and which host names requests may name. The zero value
	// requires no key.
	Access Access
	// TLSCert names a PEM file with the certificate for serving HTTP over TLS, followed by its
	// intermediates. It is reloaded when it changes. It requires TLSKey. Default: plain HTTP.
	TLSCert string
	// TLSKey names a PEM file with the key of TLSCert. It is reloaded when it changes. Default: none.
	TLSKey string
	// Plaintext allows keys to be sent without TLS to an HTTP address beyond loopback. It is meant
	// for use behind a proxy that terminates TLS. Default: false, such an address requires TLSCert.
	Plaintext bool
	// Pprof serves profiles under /debug/pprof/. They reveal internal data of the process, so an
	// HTTP address beyond loopback then requires keys. Default: false, no profiles.
	Pprof bool
	// MaxStreams limits, per caller, the open streams over HTTP, and the watch requests over HTTP
	// and NATS; ten times as many may be open in total. Default: 100.
	MaxStreams int
	// MaxWaits limits, per caller, the HTTP requests that wait for a saga to end; ten times as many
	// may wait in total. Default: 1,000.
	MaxWaits int
	// Definitions are registered before the server accepts requests. Default: none; the definitions
	// in the store are used in any case.
	Definitions []*saga.Definition

	// Name is the prefix of the durable name under which the server subscribes to events, and the
	// name of the queue group that answers requests. Do not change it between restarts. Default:
	// "coordinator".
	Name string
	// Shards is the number of goroutines that decide and commit inputs, at most 256. Each saga
	// belongs to one shard. More shards mean smaller commits. Default: one for every four
	// processors, at least one.
	Shards int
	// MaxBatch is the maximum number of inputs that one shard decides and commits together.
	// Default: 512.
	MaxBatch int
	// MaxWaiting is the maximum number of inputs that wait in the inbox of one shard. Answers of one
	// participant may fill half of it, and so may starts, requests and timers together. Beyond that,
	// answers stay on the bus, and starts are refused with api.CodeResourceExhausted. Default: 4,096.
	MaxWaiting int
	// MaxOpen is the maximum number of sagas that have not ended. Further starts are refused with
	// api.CodeResourceExhausted, and so are starts of sagas that need a participant for which as
	// many sagas wait as remain free. Default: 1,000,000.
	MaxOpen int
	// MaxBacklog is the maximum number of commands that the bus has not accepted yet. The commands
	// for one participant may use at most as much as remains free, or a sixteenth of MaxBacklog if
	// that is more. Beyond that, starts of sagas that need the participant are refused with
	// api.CodeResourceExhausted. Commands that were pending at the start do not count. Default: 4,096.
	MaxBacklog int
	// MaxUnanswered is the maximum number of unanswered commands of one participant on the bus.
	// Further commands wait in the store. Default: 20,000.
	MaxUnanswered int
	// MaxUnansweredBytes is the maximum size, in bytes, of the unanswered commands of one
	// participant on the bus. Further commands wait in the store. Default: 64 MiB.
	MaxUnansweredBytes int
	// Retention is how long a saga and its history are kept after the saga has ended; then only a
	// tombstone remains. Default: 30 days.
	Retention time.Duration
	// TombstoneRetention is how long the id of a saga is remembered after the saga has ended. Until
	// then, a repeated start returns the outcome, and does not run the saga again. It cannot be
	// shorter than Retention. Default: 1 year, or Retention if that is longer.
	TombstoneRetention time.Duration
	// AcceptClock confirms that the wall clock is right although it was set. Default: false, which
	// pauses retention for 24 hours after the clock was set.
	AcceptClock bool

	// Traces configures where spans are sent. Default: nil, no tracing.
	Traces *Traces
	// Logger receives all log messages. Default: slog.Default().
	Logger *slog.Logger
	// Version is the version of the program, for the metric amends_build_info, the overview, the
	// store's claim on the prefix, and spans. Default: "(devel)".
	Version string
}

// Traces configures where spans are sent. The zero value takes everything from the environment
// variables of OpenTelemetry.
type Traces struct {
	// Endpoint is the base URL of an OTLP/HTTP collector, such as http://127.0.0.1:4318; /v1/traces
	// is appended. Default: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT, or
	// else https://localhost:4318.
	Endpoint string
	// Service is the resource attribute service.name. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
	// override it. Default: "amends".
	Service string
	// Queue is the maximum number of ended spans that wait to be sent. Further spans are dropped.
	// Default: OTEL_BSP_MAX_QUEUE_SIZE, or 2,048.
	Queue int
}

// API determines who may use the API.
type API string

// The values of API.
const (
	APILocal    API = "local"    // programs on this machine; HTTP beyond loopback is refused, unless Access requires keys
	APIOff      API = "off"      // nobody; health and metrics are served anyway
	APIInsecure API = "insecure" // everybody who can reach the HTTP address, without a key
)

// NATS configures the NATS server. With the zero value, a server is embedded.
type NATS struct {
	// URL is the URL of an external server, or a comma-separated list. Default: none; a server is
	// embedded and keeps its streams under DataDir.
	URL string
	// Credentials authenticate to the external server. Default: none.
	Credentials natsbus.Credentials
	// Responder holds the credentials of a user that may only answer requests on the external
	// server; see natsbus.Config.Responder. Default: none; Credentials are used.
	Responder natsbus.Credentials
	// CAFile names a PEM file with the certificates to trust when connecting to the external server.
	// Default: those that the system trusts.
	CAFile string
	// CertFile names a PEM file with a client certificate for the external server. It requires
	// KeyFile. Default: none.
	CertFile string
	// KeyFile names a PEM file with the key of CertFile. Default: none.
	KeyFile string
	// InboxPrefix is the prefix of reply subjects on the external server; see natsbus.InboxPrefix.
	// Default: "_INBOX".
	InboxPrefix string
	// Plaintext allows sending passwords and tokens, of Credentials, Responder or URL, without TLS to
	// a server beyond loopback. Default: false, which is an error then.
	Plaintext bool
	// Storage says where the embedded server keeps commands and answers. StorageMemory requires an
	// embedded server, and bounds both streams together to a quarter of the memory limit: GOMEMLIMIT,
	// nine tenths of the cgroup's limit, or the memory of the machine, whichever is smallest. Default:
	// StorageFile.
	Storage Storage
	// Replicas is the number of replicas of each stream on the external server. Default: 1.
	Replicas int
	// QueueBytes is the maximum size, in bytes, of the stream of commands, and of the stream of
	// events. A full stream refuses messages. Default: 512 MiB for new streams, or less with
	// StorageMemory; existing ones keep their limits.
	QueueBytes int64
	// LifecycleBytes is the maximum size, in bytes, of the stream of announcements. A full stream
	// removes its oldest messages. Default: 256 MiB for a new stream; an existing one keeps its
	// limit.
	LifecycleBytes int64
	// DeadBytes is the maximum size, in bytes, of the stream of dead letters. A full stream removes
	// its oldest messages. Default: 256 MiB for a new stream; an existing one keeps its limit.
	DeadBytes int64
	// LifecycleAge is how long announcements are kept. Default: 7 days for a new stream; an existing
	// one keeps its limit.
	LifecycleAge time.Duration
	// DeadAge is how long dead letters are kept. Default: 30 days for a new stream; an existing one
	// keeps its limit.
	DeadAge time.Duration
	// MaxMessageBytes is the maximum size, in bytes, of a command or answer with its headers.
	// Default: the limit of the NATS server, less 32 KiB.
	MaxMessageBytes int
	// Listen is the host:port of the embedded server, for services in other processes; port 0
	// selects a free port. Beyond loopback it requires Users and ListenCert, unless Open is set.
	// Default: 127.0.0.1:0.
	Listen string
	// Users names a file with the accounts block of a NATS server configuration. It determines who
	// may connect to the embedded server, and with which permissions. Default: everybody may do
	// everything.
	Users string
	// ListenCert names a PEM file with the embedded server's certificate, followed by its
	// intermediates. Clients must then use TLS. The file is reloaded when it changes. It requires
	// ListenKey. Default: plain TCP.
	ListenCert string
	// ListenKey names a PEM file with the key of ListenCert. It is reloaded when it changes. Default:
	// none.
	ListenKey string
	// Open allows other machines to reach the embedded server without Users or TLS. Default: false;
	// Listen beyond loopback requires both.
	Open bool
}

// Validate returns all errors in the configuration, joined.
func (c *Config) Validate() error {
	errs := []error{c.validateStore()}
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if err := checkAddress(c.HTTP); err != nil {
		bad("http: %w", err)
	}
	errs = append(errs, c.validateAccess())
	if c.Traces != nil {
		if err := otlp.CheckEndpoint(c.Traces.Endpoint); err != nil {
			bad("otlp endpoint: %w", err)
		}
		if c.Traces.Queue < 0 {
			bad("otlp queue: %d; give a positive number, or 0 for the default", c.Traces.Queue)
		}
	}
	if err := transport.CheckPrefix(c.Prefix); err != nil {
		bad("prefix: %w", err)
	}
	errs = append(errs, c.NATS.validate())
	for _, f := range []struct {
		name  string
		value int
	}{
		{"shards", c.Shards},
		{"max batch", c.MaxBatch},
		{"max waiting", c.MaxWaiting},
		{"max open", c.MaxOpen},
		{"max backlog", c.MaxBacklog},
		{"max unanswered", c.MaxUnanswered},
		{"max unanswered bytes", c.MaxUnansweredBytes},
		{"max streams", c.MaxStreams},
		{"max waits", c.MaxWaits},
	} {
		if f.value < 0 {
			bad("%s: %d; give a positive number, or 0 for the default", f.name, f.value)
		}
	}
	if c.Shards > coordinator.MaxShards {
		bad("shards: %d; give at most %d, as a few per processor are enough", c.Shards, coordinator.MaxShards)
	}
	if c.Retention < 0 {
		bad("retention: is negative; give a duration such as 720h, or 0 for the default")
	}
	if c.TombstoneRetention < 0 {
		bad("tombstone retention: is negative; give a duration such as 2160h, or 0 for the default")
	}
	if c.TombstoneRetention != 0 && c.TombstoneRetention < c.Retention {
		bad("tombstone retention: %s is shorter than retention, %s; both count from the end of the saga", c.TombstoneRetention, c.Retention)
	}
	return errors.Join(errs...)
}

// validate returns all errors in the settings for NATS, joined.
func (n *NATS) validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if err := checkAddress(n.Listen); err != nil {
		bad("nats listen: %w", err)
	}
	if err := checkURLs(n.URL); err != nil {
		bad("nats url: %w", err)
	}
	if err := n.validateSecrets(); err != nil {
		bad("nats: %w", err)
	}
	errs = append(errs, n.validateListen(), n.validateStorage())
	none := natsbus.Credentials{}
	if n.URL == "" && (n.Credentials != none || n.Responder != none || n.CAFile != "" || n.CertFile != "" || n.KeyFile != "") {
		bad("nats: credentials are given, but no URL of an external server; give its URL, or remove the credentials")
	}
	if (n.CertFile == "") != (n.KeyFile == "") {
		bad("nats: a client certificate and its key are given together or not at all")
	}
	if n.Replicas < 0 || n.Replicas > 5 {
		bad("nats replicas: %d; JetStream takes 1 to 5", n.Replicas)
	}
	if n.URL == "" && n.Replicas > 1 {
		bad("nats replicas: %d; the embedded server is a single server; use 1, or an external cluster", n.Replicas)
	}
	return errors.Join(errs...)
}

// validateStore returns the errors in the settings for stored data.
func (c *Config) validateStore() error {
	switch {
	case c.Store != nil && c.NATS.URL != "" && c.StoreKeys != "":
		return errors.New("store keys: would encrypt nothing, because neither the store nor the NATS server belongs to this process; remove the keys")
	case c.DataDir != "":
	case c.Store == nil:
		return errors.New("data dir: is missing; name the directory that holds the store, or give a store of your own and the url of an external NATS server")
	case c.NATS.URL == "":
		return errors.New("data dir: is missing; name the directory that holds the embedded NATS server's streams, or give the url of an external one")
	}
	return nil
}

func checkAddress(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is not an address; write host:port, such as 127.0.0.1:8080 (%w)", address, err)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.API == "" {
		c.API = APILocal
	}
	if c.NATS.Listen == "" {
		c.NATS.Listen = "127.0.0.1:0"
	}
	if c.NATS.Storage == "" && c.NATS.URL == "" {
		c.NATS.Storage = StorageFile
	}
	if c.NATS.Replicas == 0 {
		c.NATS.Replicas = 1
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Version == "" {
		c.Version = "(devel)"
	}
	return c
}
