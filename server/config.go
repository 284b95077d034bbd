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
	// DataDir holds everything that must survive: the store, the embedded
	// server's streams, the secret. It is made with mode 0700 if it is missing.
	// One process at a time.
	DataDir string
	// Store keeps the sagas, instead of a boltstore in DataDir. It belongs to the caller, who
	// closes it when Run has returned. Default: nil, a boltstore.
	Store store.Store
	// StoreKeys names a file of keys (boltstore.LoadKeys) that seal what people said, in
	// the boltstore and in the embedded server's streams. Default: nothing is sealed.
	StoreKeys string
	// NATS says which server carries the messages. Default: an embedded one.
	NATS NATS
	// TakeOver takes the prefix although the bus says that it belongs to another store.
	TakeOver bool
	// Prefix is the first token, or tokens, of all subjects. Default: "saga".
	Prefix string
	// HTTP is the host:port of the API, health and metrics; port 0 chooses a free
	// one. Default: none.
	HTTP string
	// API says to whom the API is served at HTTP, if at all. Default: APILocal,
	// or, with Access, whoever has a key.
	API API
	// Redact names JSON fields whose values the API does not show. Default: it shows all.
	Redact []string
	// Access says who may pass at HTTP, and under which names it may be asked. The zero value
	// asks nobody for a key. Open and Certificate are the server's to say.
	Access access.Config
	// TLSCert and TLSKey name PEM files: HTTP is served over TLS. They are read
	// again when they change. Default: plain HTTP.
	TLSCert, TLSKey string
	// Plaintext says that keys may come to an HTTP address beyond loopback without
	// TLS, because a proxy in front ends it.
	Plaintext bool
	// Pprof adds profiles under /debug/pprof/. They tell much about the process: an HTTP
	// address beyond loopback wants keys for them.
	Pprof bool
	// MaxStreams bounds the streams of one caller that are open at once, over HTTP, and the
	// watch requests that are held, over either; MaxWaits the requests over HTTP that wait for
	// the end of a saga. Defaults: api.DefaultMaxStreams and api.DefaultMaxWaits.
	MaxStreams, MaxWaits int
	// Definitions are registered before anything else.
	Definitions []*saga.Definition

	// The coordinator's own settings; see coordinator.Config for the defaults.
	Name               string
	Shards             int
	MaxBatch           int
	MaxOpen            int
	MaxBacklog         int
	MaxUnanswered      int
	MaxUnansweredBytes int
	Retention          time.Duration
	TombstoneRetention time.Duration
	AcceptClock        bool // retention does not wait because the clock was set: it is right

	// Traces says where spans are sent. Default: nil, nobody traces.
	Traces *otlp.Config
	// Logger gets everything that is logged. Default: slog.Default().
	Logger *slog.Logger
	// Version is what amends_build_info says. Default: "(devel)".
	Version string
}

// API says to whom the API is served.
type API string

// The values of API.
const (
	APILocal    API = "local"    // to programs on this machine: an HTTP address beyond loopback is refused, unless Access asks for keys
	APIOff      API = "off"      // to nobody; health and metrics are served anywhere
	APIInsecure API = "insecure" // to whoever reaches the HTTP address, without asking for a key
)

// NATS says how to reach a NATS server. The zero value embeds one.
type NATS struct {
	// URL of an external server, or several with commas between. Default: none, a
	// server is embedded and keeps its streams under DataDir.
	URL string
	// Creds, NKey, User, Password, Token, CA, Cert and Key authenticate at the external
	// server; Creds, NKey, CA, Cert and Key are names of files.
	Creds, NKey, User, Password, Token, CA, Cert, Key string
	// Responder are the credentials of a user who answers requests there and may do nothing
	// else; see natsbus.Config.Responder. Default: it is done with those above.
	Responder natsbus.Credentials
	// Inbox begins the subjects on which replies come from the external server.
	// Default: _INBOX.
	Inbox string
	// Plaintext says that Password and Token, and those in URL, may pass to a server
	// beyond loopback without TLS.
	Plaintext bool
	// Replicas of each stream at the external server. Default: 1.
	Replicas int
	// QueueBytes, LifecycleBytes, DeadBytes, LifecycleAge, DeadAge and MaxMessageBytes are
	// limits of the streams; see natsbus.Config, which has the defaults.
	QueueBytes, LifecycleBytes, DeadBytes int64
	LifecycleAge, DeadAge                 time.Duration
	MaxMessageBytes                       int
	// Listen is the host:port of the embedded server, for services in other
	// processes; port 0 chooses a free one. Beyond loopback it wants Users and
	// ListenCert, unless Open. Default: 127.0.0.1:0.
	Listen string
	// Users names a file with the block accounts of a NATS server's configuration: who may
	// connect to the embedded server, and what they may do there. Default: everybody may do everything.
	Users string
	// ListenCert and ListenKey name PEM files: the embedded server speaks TLS. They
	// are read again when they change. Default: plain TCP.
	ListenCert, ListenKey string
	// Open says that the embedded server may be reached from other machines without
	// Users or without TLS.
	Open bool
}

// Validate returns everything that is wrong with the configuration, joined.
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
	}{{"shards", c.Shards}, {"max batch", c.MaxBatch}, {"max open", c.MaxOpen}, {"max backlog", c.MaxBacklog}, {"max unanswered", c.MaxUnanswered}, {"max unanswered bytes", c.MaxUnansweredBytes}, {"max streams", c.MaxStreams}, {"max waits", c.MaxWaits}} {
		if f.value < 0 {
			bad("%s: %d; give a positive number, or 0 for the default", f.name, f.value)
		}
	}
	if c.Retention < 0 || c.TombstoneRetention < 0 {
		bad("retention: is negative; give a duration such as 720h, or 0 for the default")
	}
	if c.TombstoneRetention != 0 && c.TombstoneRetention < c.Retention {
		bad("tombstone retention: %s is shorter than retention, %s; both count from the end of the saga", c.TombstoneRetention, c.Retention)
	}
	return errors.Join(errs...)
}

// validateStore returns what is wrong with where everything is kept.
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
