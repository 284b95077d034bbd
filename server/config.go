package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/otlp"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// Config of a Server. DataDir is required, or Store and NATS.URL; the zero value of every
// other field means its default.
type Config struct {
	// DataDir holds everything that must survive: the store, the embedded server's streams and the
	// secret. It is created with mode 0700 if it is missing. Only one process may use it at a time.
	DataDir string
	// Store keeps the sagas instead of a boltstore in DataDir. The caller owns it and closes it
	// after Run has returned. Default: nil, a boltstore.
	Store store.Store
	// StoreKeys names a file of keys (boltstore.LoadKeys) that encrypt payloads and other user data
	// in the boltstore and in the embedded server's streams. Default: no encryption.
	StoreKeys string
	// NATS configures the server that carries the messages. Default: an embedded server.
	NATS NATS
	// TakeOver takes the prefix even if another store's claim to it is on the bus.
	TakeOver bool
	// Prefix is the first token, or tokens, of all subjects. Default: "saga".
	Prefix string
	// HTTP is the host:port of the API, health and metrics; port 0 chooses a free
	// one. Default: none.
	HTTP string
	// API says who may use the API at HTTP. Default: APILocal, or, with Access, everybody who has a
	// key.
	API API
	// Redact names JSON fields whose values the API hides. Default: none.
	Redact []string
	// Access configures who may use HTTP, and the host names that it answers to. The zero value
	// requires no key. The server sets Open and Certificate.
	Access Access
	// TLSCert and TLSKey name PEM files with which HTTP is served over TLS. They are read again
	// when they change. Default: plain HTTP.
	TLSCert, TLSKey string
	// Plaintext allows keys to be sent without TLS to an HTTP address beyond loopback, for use
	// behind a proxy that terminates TLS.
	Plaintext bool
	// Pprof serves profiles under /debug/pprof/. They reveal a lot about the process, so an HTTP
	// address beyond loopback then requires keys.
	Pprof bool
	// MaxStreams limits, per caller, the open streams over HTTP and the watch requests over HTTP
	// and NATS. MaxWaits limits the HTTP requests that wait for a saga to end. Defaults: 100
	// and 1,000.
	MaxStreams, MaxWaits int
	// Definitions are registered before the server accepts requests.
	Definitions []*saga.Definition

	// Settings of the coordinator; see coordinator.Config for the defaults.
	Name               string
	Shards             int
	MaxBatch           int
	MaxWaiting         int
	MaxOpen            int
	MaxBacklog         int
	MaxUnanswered      int
	MaxUnansweredBytes int
	Retention          time.Duration
	TombstoneRetention time.Duration
	AcceptClock        bool // the clock was set and is right: retention does not wait

	// Traces configures where spans are sent. Default: nil, no tracing.
	Traces *Traces
	// Logger receives all log messages. Default: slog.Default().
	Logger *slog.Logger
	// Version is the version in the metric amends_build_info. Default: "(devel)".
	Version string
}

// Access, OIDC, Role and Traces are parts of Config.
type (
	Access = access.Config
	OIDC   = access.OIDC
	Role   = access.Role
	Traces = otlp.Config
)

// The roles of OIDC.Roles, each with the rights of those before it.
const (
	Viewer   = access.Viewer
	Operator = access.Operator
	Admin    = access.Admin
)

// API says who may use the API.
type API string

// Values of API.
const (
	APILocal    API = "local"    // programs on this machine; HTTP beyond loopback is refused, unless Access requires keys
	APIOff      API = "off"      // nobody; health and metrics are served anyway
	APIInsecure API = "insecure" // everybody who can reach the HTTP address, without a key
)

// NATS configures the NATS server. The zero value embeds one.
type NATS struct {
	// URL of an external server, or several separated by commas. Default: none; a server is
	// embedded and keeps its streams under DataDir.
	URL string
	// Creds, NKey, User, Password, Token, CA, Cert and Key authenticate at the external
	// server; Creds, NKey, CA, Cert and Key are names of files.
	Creds, NKey, User, Password, Token, CA, Cert, Key string
	// Responder holds the credentials of a user who may only answer requests on the external
	// server; see natsbus.Config.Responder. Default: the credentials above are used for that too.
	Responder natsbus.Credentials
	// Inbox is the prefix of the reply subjects at the external server. Default: _INBOX.
	Inbox string
	// Plaintext allows sending Password and Token, and those in URL, without TLS to a server beyond
	// loopback.
	Plaintext bool
	// Replicas of each stream at the external server. Default: 1.
	Replicas int
	// QueueBytes, LifecycleBytes, DeadBytes, LifecycleAge, DeadAge and MaxMessageBytes are limits
	// of the streams; see natsbus.Config for their defaults.
	QueueBytes, LifecycleBytes, DeadBytes int64
	LifecycleAge, DeadAge                 time.Duration
	MaxMessageBytes                       int
	// Listen is the host:port of the embedded server, for services in other processes; port 0
	// chooses a free one. Beyond loopback it requires Users and ListenCert, unless Open is set.
	// Default: 127.0.0.1:0.
	Listen string
	// Users names a file with the accounts block of a NATS server configuration: who may connect to
	// the embedded server, and with which permissions. Default: everybody may do everything.
	Users string
	// ListenCert and ListenKey name PEM files with which the embedded server requires TLS. They are
	// read again when they change. Default: plain TCP.
	ListenCert, ListenKey string
	// Open allows other machines to reach the embedded server without Users or TLS.
	Open bool
}

// Validate returns all errors of the configuration, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	errs = append(errs, c.validateStore())
	if err := checkAddress(c.HTTP); err != nil {
		bad("http: %w", err)
	}
	errs = append(errs, c.validateAccess())
	if err := checkAddress(c.NATS.Listen); err != nil {
		bad("nats listen: %w", err)
	}
	if c.Traces != nil {
		if err := otlp.CheckEndpoint(c.Traces.Endpoint); err != nil {
			bad("otlp endpoint: %w", err)
		}
	}
	if err := transport.CheckPrefix(c.Prefix); err != nil {
		bad("prefix: %w", err)
	}
	n := c.NATS
	if err := checkURLs(n.URL); err != nil {
		bad("nats url: %w", err)
	}
	if err := n.validateSecrets(); err != nil {
		bad("nats: %w", err)
	}
	errs = append(errs, n.validateListen())
	if n.URL == "" && (n.Responder != (natsbus.Credentials{}) || n.Creds != "" || n.NKey != "" || n.User != "" || n.Password != "" || n.Token != "" || n.CA != "" || n.Cert != "" || n.Key != "") {
		bad("nats: credentials are given, but no URL of an external server to use them at")
	}
	if (n.Cert == "") != (n.Key == "") {
		bad("nats: a client certificate and its key are given together or not at all")
	}
	if n.Replicas < 0 || n.Replicas > 5 {
		bad("nats replicas: %d; JetStream takes 1 to 5", n.Replicas)
	}
	if n.URL == "" && n.Replicas > 1 {
		bad("nats replicas: %d; the embedded server is alone, only an external cluster can hold replicas", n.Replicas)
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"shards", c.Shards}, {"max batch", c.MaxBatch}, {"max waiting", c.MaxWaiting}, {"max open", c.MaxOpen}, {"max backlog", c.MaxBacklog}, {"max unanswered", c.MaxUnanswered}, {"max unanswered bytes", c.MaxUnansweredBytes}, {"max streams", c.MaxStreams}, {"max waits", c.MaxWaits}} {
		if f.value < 0 {
			bad("%s: %d; give a positive number, or 0 for the default", f.name, f.value)
		}
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

// validateStore returns the errors of the settings that say where data is kept.
func (c *Config) validateStore() error {
	switch {
	case c.Store != nil && c.NATS.URL != "" && c.StoreKeys != "":
		return errors.New("store keys: would seal nothing: neither the store nor the NATS server is this process's own; leave them out")
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
