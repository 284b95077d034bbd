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

// Config configures a Server. DataDir is required, unless both Store and NATS.URL are set. The zero
// value of every other field selects its default.
type Config struct {
	// DataDir holds all persistent data: the store, the embedded server's streams and the secret.
	// It is created with mode 0700 if it does not exist. Only one process may use it at a time.
	DataDir string
	// Store replaces the boltstore in DataDir. The caller owns it, and closes it after Run has
	// returned. Default: nil, a boltstore.
	Store store.Store
	// StoreKeys names a file of keys (see boltstore.LoadKeys) that encrypt payloads and other user
	// data in the boltstore and in the embedded server's streams. Default: no encryption.
	StoreKeys string
	// NATS configures the NATS server. Default: an embedded server.
	NATS NATS
	// TakeOver takes over the prefix even if another store has claimed it.
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
	// requires no key. The server sets Open and Certificate.
	Access Access
	// TLSCert and TLSKey name PEM files for serving HTTP over TLS. They are reloaded when they
	// change. Default: plain HTTP.
	TLSCert, TLSKey string
	// Plaintext allows keys to be sent without TLS to an HTTP address beyond loopback. It is meant
	// for use behind a proxy that terminates TLS.
	Plaintext bool
	// Pprof serves profiles under /debug/pprof/. They reveal internal data of the process, so an
	// HTTP address beyond loopback then requires keys.
	Pprof bool
	// MaxStreams limits, per caller, the open streams over HTTP, and the watch requests over HTTP
	// and NATS. MaxWaits limits, per caller, the HTTP requests that wait for a saga to end.
	// Defaults: 100 and 1,000.
	MaxStreams, MaxWaits int
	// Definitions are registered before the server accepts requests.
	Definitions []*saga.Definition

	// Coordinator settings; see coordinator.Config for the defaults.
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
	AcceptClock        bool // confirms that the clock is right, so that retention does not pause

	// Traces configures where spans are sent. Default: nil, no tracing.
	Traces *Traces
	// Logger receives all log messages. Default: slog.Default().
	Logger *slog.Logger
	// Version is the version in the metric amends_build_info. Default: "(devel)".
	Version string
}

// Access, OIDC, Role and Traces are the types of parts of Config.
type (
	Access = access.Config
	OIDC   = access.OIDC
	Role   = access.Role
	Traces = otlp.Config
)

// The roles of OIDC.Roles, each with the rights of the roles before it.
const (
	RoleViewer   = access.RoleViewer
	RoleOperator = access.RoleOperator
	RoleAdmin    = access.RoleAdmin
)

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
	// Creds, NKey, User, Password, Token, CA, Cert and Key authenticate to the external server.
	// Creds, NKey, CA, Cert and Key are file names.
	Creds, NKey, User, Password, Token, CA, Cert, Key string
	// Responder holds the credentials of a user that may only answer requests on the external
	// server; see natsbus.Config.Responder. Default: the credentials above.
	Responder natsbus.Credentials
	// Inbox is the prefix of reply subjects on the external server. Default: _INBOX.
	Inbox string
	// Plaintext allows sending Password, Token and any password in URL without TLS to a server
	// beyond loopback.
	Plaintext bool
	// Replicas is the number of replicas of each stream on the external server. Default: 1.
	Replicas int
	// QueueBytes, LifecycleBytes, DeadBytes, LifecycleAge, DeadAge and MaxMessageBytes limit the
	// streams; see natsbus.Config for their defaults.
	QueueBytes, LifecycleBytes, DeadBytes int64
	LifecycleAge, DeadAge                 time.Duration
	MaxMessageBytes                       int
	// Listen is the host:port of the embedded server, for services in other processes; port 0
	// selects a free port. Beyond loopback it requires Users and ListenCert, unless Open is set.
	// Default: 127.0.0.1:0.
	Listen string
	// Users names a file with the accounts block of a NATS server configuration. It determines who
	// may connect to the embedded server, and with which permissions. Default: everybody may do
	// everything.
	Users string
	// ListenCert and ListenKey name PEM files for TLS, which the embedded server then requires.
	// They are reloaded when they change. Default: plain TCP.
	ListenCert, ListenKey string
	// Open allows other machines to reach the embedded server without Users or TLS.
	Open bool
}

// Validate returns all errors in the configuration, joined.
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
		bad("nats: credentials are given, but no URL of an external server; give its URL, or remove the credentials")
	}
	if (n.Cert == "") != (n.Key == "") {
		bad("nats: a client certificate and its key are given together or not at all")
	}
	if n.Replicas < 0 || n.Replicas > 5 {
		bad("nats replicas: %d; JetStream takes 1 to 5", n.Replicas)
	}
	if n.URL == "" && n.Replicas > 1 {
		bad("nats replicas: %d; the embedded server is a single server; use 1, or an external cluster", n.Replicas)
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

// validateStore returns the errors in the settings for stored data.
func (c *Config) validateStore() error {
	switch {
	case c.Store != nil && c.NATS.URL != "" && c.StoreKeys != "":
		return errors.New("store keys: would encrypt nothing, because neither the store nor the NATS server belongs to this process; remove them")
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
