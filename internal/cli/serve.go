package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/amends-dev/amends/internal/heap"
	"github.com/amends-dev/amends/internal/masked"
	"github.com/amends-dev/amends/internal/otlp"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

// serveFlags configures a coordinator. The config file may contain every one of them.
type serveFlags struct {
	ConfigFile  string `name:"config" env:"AMENDS_CONFIG" type:"path" placeholder:"FILE" help:"YAML file whose keys are the names of these flags."`
	DataDir     string `env:"AMENDS_DATA_DIR" type:"path" default:"data" help:"Directory for all durable data."`
	StoreKeys   string `env:"AMENDS_STORE_KEYS" type:"path" placeholder:"FILE" help:"File of keys that encrypt stored data (coordinator key create). Default: not encrypted."`
	Definitions string `env:"AMENDS_DEFINITIONS" type:"path" placeholder:"DIR" help:"File or directory of definitions to register at startup."`

	NATSListen            string `name:"nats-listen" env:"AMENDS_NATS_LISTEN" default:"127.0.0.1:4222" help:"Address of the embedded NATS server; port 0 picks a free port."`
	NATSUsers             string `name:"nats-users" env:"AMENDS_NATS_USERS" type:"path" placeholder:"FILE" help:"Users of the embedded NATS server, as coordinator nats-permissions prints them. Default: anyone who can reach it."`
	NATSTLSCert           string `name:"nats-listen-cert" env:"AMENDS_NATS_LISTEN_CERT" type:"path" placeholder:"FILE" help:"Certificate of the embedded NATS server, PEM; read again when it changes."`
	NATSTLSKey            string `name:"nats-listen-key" env:"AMENDS_NATS_LISTEN_KEY" type:"path" placeholder:"FILE" help:"Key of --nats-listen-cert, PEM."`
	NATSOpen              bool   `name:"nats-open" env:"AMENDS_NATS_OPEN" help:"Let the embedded NATS server listen on other addresses than loopback without users or without TLS."`
	natsFlags             `group:"External NATS (with --nats-url no server is embedded)"`
	NATSResponderUser     string `name:"nats-responder-user" env:"AMENDS_NATS_RESPONDER_USER" help:"Separate NATS user that may only answer requests. Default: the coordinator's own user." group:"External NATS (with --nats-url no server is embedded)"`
	NATSResponderPassword string `name:"nats-responder-password" env:"AMENDS_NATS_RESPONDER_PASSWORD" secret:"" help:"Password of the responder user; better in the environment than on the command line." group:"External NATS (with --nats-url no server is embedded)"`
	NATSResponderCreds    string `name:"nats-responder-creds" env:"AMENDS_NATS_RESPONDER_CREDS" type:"path" placeholder:"FILE" help:"Credentials file of the responder user, instead of a password." group:"External NATS (with --nats-url no server is embedded)"`
	NATSResponderNKey     string `name:"nats-responder-nkey" env:"AMENDS_NATS_RESPONDER_NKEY" type:"path" placeholder:"FILE" help:"File with the seed of the responder user's nkey, instead of a password." group:"External NATS (with --nats-url no server is embedded)"`
	NATSReplicas          int    `name:"nats-replicas" env:"AMENDS_NATS_REPLICAS" default:"1" help:"Replicas of each stream on the external server." group:"External NATS (with --nats-url no server is embedded)"`

	BusStorage     string        `name:"bus-storage" env:"AMENDS_BUS_STORAGE" enum:"file,memory" default:"file" help:"Where the embedded NATS server keeps commands and answers: file, or memory, which is faster and makes a start slower; memory is limited to a quarter of the memory limit." group:"Streams"`
	QueueBytes     int64         `name:"queue-bytes" env:"AMENDS_QUEUE_BYTES" placeholder:"N" help:"Maximum size in bytes of the command stream, and of the event stream; a full stream refuses messages. Default: 512 MiB for a new stream; an existing one keeps its limit." group:"Streams"`
	LifecycleBytes int64         `name:"lifecycle-bytes" env:"AMENDS_LIFECYCLE_BYTES" placeholder:"N" help:"Maximum size in bytes of the lifecycle stream; a full stream drops its oldest messages. Default: 256 MiB for a new stream; an existing one keeps its limit." group:"Streams"`
	LifecycleAge   time.Duration `name:"lifecycle-age" env:"AMENDS_LIFECYCLE_AGE" placeholder:"DURATION" help:"How long lifecycle events are kept. Default: 168h for a new stream; an existing one keeps its limit." group:"Streams"`
	DeadBytes      int64         `name:"dead-letter-bytes" env:"AMENDS_DEAD_LETTER_BYTES" placeholder:"N" help:"Maximum size in bytes of the dead-letter stream; a full stream drops its oldest messages. Default: 256 MiB for a new stream; an existing one keeps its limit." group:"Streams"`
	DeadAge        time.Duration `name:"dead-letter-age" env:"AMENDS_DEAD_LETTER_AGE" placeholder:"DURATION" help:"How long dead letters are kept. Default: 720h for a new stream; an existing one keeps its limit." group:"Streams"`
	MaxMessage     int           `name:"max-message-bytes" env:"AMENDS_MAX_MESSAGE_BYTES" placeholder:"N" help:"Maximum size in bytes of a command or answer, headers included. Default: the NATS server's limit less 32 KiB, which dead letters add." group:"Streams"`

	HTTP        string `name:"http" env:"AMENDS_HTTP" default:"127.0.0.1:8080" help:"Address of the API, health checks and metrics; port 0 picks a free port; empty disables HTTP."`
	API         string `name:"api" env:"AMENDS_API" enum:"local,off,insecure" default:"local" help:"Who may use the API if no authentication is configured (see Access): local (this machine only; --http must be loopback), off (nobody) or insecure (anyone who can reach --http)."`
	accessFlags `group:"Access (authentication, TLS and host names of --http)"`
	MaxStreams  int    `env:"AMENDS_MAX_STREAMS" default:"100" help:"Maximum open streams and NATS watch requests of one caller; the total is limited to ten times as many. Default: ${default}."`
	MaxWaits    int    `env:"AMENDS_MAX_WAITS" default:"1000" help:"Maximum HTTP requests of one caller that wait for a saga to end; the total is limited to ten times as many. Default: ${default}."`
	Pprof       bool   `env:"AMENDS_PPROF" help:"Serve profiles under /debug/pprof/ to admins; without authentication, on loopback only."`
	OTLP        string `name:"otlp-endpoint" env:"AMENDS_OTLP_ENDPOINT" placeholder:"URL" help:"OTLP/HTTP collector for traces, such as http://127.0.0.1:4318. The OTEL_* variables of OpenTelemetry work, too. Default: no traces."`
	LogLevel    string `env:"AMENDS_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Log level: ${enum}. Debug logs every transition."`
	LogFormat   string `env:"AMENDS_LOG_FORMAT" enum:"json,text" default:"json" help:"Log format: ${enum}."`

	Name               string        `env:"AMENDS_NAME" default:"coordinator" help:"Name of the coordinator's durable consumers on the bus; do not change it between restarts."`
	Shards             int           `env:"AMENDS_SHARDS" default:"${shards}" help:"Goroutines that process sagas. Default: ${default}, one for every four processors and at least one."`
	MaxBatch           int           `env:"AMENDS_MAX_BATCH" default:"${max_batch}" help:"Maximum number of inputs in one commit. Default: ${default}."`
	MaxOpen            int           `env:"AMENDS_MAX_OPEN" default:"${max_open}" help:"Maximum number of open sagas; further starts are refused. Default: ${default}."`
	MaxBacklog         int           `env:"AMENDS_MAX_BACKLOG" default:"4096" help:"Maximum number of commands waiting to be published. A participant may use any share that others do not need. Default: ${default}."`
	MaxUnanswered      int           `env:"AMENDS_MAX_UNANSWERED" default:"20000" help:"Maximum number of unanswered commands of one participant on the bus; further ones wait in the store. Default: ${default}."`
	MaxUnansweredBytes int           `env:"AMENDS_MAX_UNANSWERED_BYTES" default:"67108864" help:"Maximum size in bytes of unanswered commands of one participant on the bus. Default: ${default}."`
	Retention          time.Duration `env:"AMENDS_RETENTION" default:"720h" help:"How long a saga and its history are kept after its end."`
	AcceptClock        bool          `env:"AMENDS_ACCEPT_CLOCK" help:"After the clock was changed: confirm that it is right now, so that retention continues at once instead of after 24 hours."`
	TombstoneRetention time.Duration `env:"AMENDS_TOMBSTONE_RETENTION" default:"8760h" help:"How long the id of an ended saga is remembered, so that a repeated start does not run it again."`

	TakeOver  bool   `env:"AMENDS_TAKE_OVER" help:"Take over the prefix from another store. This stops the coordinator of that store: use the flag only if that is intended."`
	ReadyFile string `env:"AMENDS_READY_FILE" type:"path" placeholder:"FILE" help:"Write the addresses to this file as JSON when the coordinator is ready, and remove the file when it stops."`
}

// config converts the flags to a server.Config, without definitions and logger.
func (f *serveFlags) config() server.Config {
	nats := f.server()
	nats.Replicas, nats.Storage = f.NATSReplicas, server.Storage(f.BusStorage)
	nats.Responder = natsbus.Credentials{User: f.NATSResponderUser, Password: f.NATSResponderPassword, CredentialsFile: f.NATSResponderCreds, NKeyFile: f.NATSResponderNKey}
	nats.QueueBytes, nats.LifecycleBytes, nats.DeadBytes = f.QueueBytes, f.LifecycleBytes, f.DeadBytes
	nats.LifecycleAge, nats.DeadAge, nats.MaxMessageBytes = f.LifecycleAge, f.DeadAge, f.MaxMessage
	nats.Listen, nats.Users, nats.Open = f.NATSListen, f.NATSUsers, f.NATSOpen
	nats.ListenCert, nats.ListenKey = f.NATSTLSCert, f.NATSTLSKey
	who, _ := f.accessFlags.config() // problem returns the error
	return server.Config{
		DataDir: f.DataDir, StoreKeys: f.StoreKeys, NATS: nats, Prefix: f.Prefix, HTTP: f.HTTP, API: server.API(f.API), Pprof: f.Pprof,
		Access: who, TLSCert: f.TLSCert, TLSKey: f.TLSKey, Plaintext: f.Plaintext, Redact: list(f.Redact),
		Name: f.Name, Shards: f.Shards, MaxBatch: f.MaxBatch, MaxOpen: f.MaxOpen,
		MaxBacklog: f.MaxBacklog, MaxUnanswered: f.MaxUnanswered, MaxUnansweredBytes: f.MaxUnansweredBytes, MaxStreams: f.MaxStreams, MaxWaits: f.MaxWaits,
		Retention: f.Retention, TombstoneRetention: f.TombstoneRetention, AcceptClock: f.AcceptClock, Version: version(), TakeOver: f.TakeOver,
	}
}

// problem returns all errors in the flags, in the files that they name, and in the server's
// configuration.
func (f *serveFlags) problem(config *server.Config) error {
	_, err := f.accessFlags.config()
	if f.ReadyFile != "" {
		if info, missing := os.Stat(filepath.Dir(f.ReadyFile)); missing != nil || !info.IsDir() {
			err = errors.Join(err, fmt.Errorf("--ready-file: there is no directory %s", filepath.Dir(f.ReadyFile)))
		}
	}
	return errors.Join(config.Check(), err)
}

// definitions reads the definitions to be registered at startup.
func (f *serveFlags) definitions() ([]*saga.Definition, error) {
	if f.Definitions == "" {
		return nil, nil
	}
	return loadDefinitions([]string{f.Definitions})
}

// traces returns the configuration for sending spans, or nil if tracing is off.
func (f *serveFlags) traces() (*server.Traces, error) {
	wanted, err := otlp.Wanted(f.OTLP, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	if !wanted {
		return nil, nil
	}
	return &server.Traces{Endpoint: f.OTLP, Service: "amends-coordinator"}, nil
}

func (f *serveFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // the parser allows only valid levels
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

type serveCmd struct{ serveFlags }

// Run runs a coordinator until it is stopped.
func (c *serveCmd) Run(env *environment) error {
	config := c.config()
	definitions, err := c.definitions()
	traces, errTraces := c.traces()
	if err := errors.Join(c.problem(&config), err, errTraces); err != nil {
		return &exitError{code: ExitUsage, err: err, hint: "coordinator config check shows every value and where it comes from"}
	}
	config.Definitions, config.Traces, config.Logger = definitions, traces, c.logger(masked.Writer(env.stderr.Lines()))
	heap.Tune(env.ctx, config.Logger)
	s, err := server.New(config)
	if err != nil {
		return err
	}
	if err := c.run(env.ctx, s, config.Logger); err != nil {
		config.Logger.Error("coordinator failed", slog.Any("error", err))
		return err
	}
	config.Logger.Info("coordinator stopped, everything acknowledged is on disk")
	return nil
}

// run runs the server, and maintains the ready file.
func (c *serveCmd) run(ctx context.Context, s *server.Server, logger *slog.Logger) error {
	if c.ReadyFile == "" {
		return s.Run(ctx)
	}
	ended, announced := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(announced)
		select {
		case <-s.Started():
			if err := c.writeReady(s.Addresses()); err != nil {
				logger.Error("cannot write the ready file", slog.String("file", c.ReadyFile), slog.Any("error", err))
			}
		case <-ended:
		}
	}()
	err := s.Run(ctx)
	close(ended)
	<-announced
	_ = os.Remove(c.ReadyFile)
	return err
}

// ready is the content of the ready file.
type ready struct {
	NATS string `json:"nats"`
	HTTP string `json:"http"`
	PID  int    `json:"pid"`
}

// writeReady writes the ready file atomically.
func (c *serveCmd) writeReady(a server.Addresses) error {
	data, err := json.Marshal(ready{a.NATS, a.HTTP, os.Getpid()})
	if err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(c.ReadyFile), fmt.Sprintf(".%s.%d", filepath.Base(c.ReadyFile), os.Getpid()))
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, c.ReadyFile)
}
