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

// serveFlags are the configuration of a coordinator. Every one of them may stand
// in the config file.
type serveFlags struct {
	ConfigFile  string `name:"config" env:"AMENDS_CONFIG" type:"path" placeholder:"FILE" help:"YAML file whose keys are the names of these flags."`
	DataDir     string `env:"AMENDS_DATA_DIR" type:"path" default:"data" help:"Directory of all durable data."`
	StoreKeys   string `env:"AMENDS_STORE_KEYS" type:"path" placeholder:"FILE" help:"File of keys that encrypt stored data (coordinator key create). Default: not encrypted."`
	Definitions string `env:"AMENDS_DEFINITIONS" type:"path" placeholder:"DIR" help:"Directory, or file, of definitions to register at the start."`

	NATSListen            string `name:"nats-listen" env:"AMENDS_NATS_LISTEN" default:"127.0.0.1:4222" help:"Where the embedded NATS server listens; port 0: a free one."`
	NATSUsers             string `name:"nats-users" env:"AMENDS_NATS_USERS" type:"path" placeholder:"FILE" help:"Who may use the embedded NATS server, as coordinator nats-permissions prints it. Default: anyone who reaches it."`
	NATSTLSCert           string `name:"nats-listen-cert" env:"AMENDS_NATS_LISTEN_CERT" type:"path" placeholder:"FILE" help:"Certificate of the embedded NATS server, PEM; read again when it changes."`
	NATSTLSKey            string `name:"nats-listen-key" env:"AMENDS_NATS_LISTEN_KEY" type:"path" placeholder:"FILE" help:"Key of --nats-listen-cert, PEM."`
	NATSOpen              bool   `name:"nats-open" env:"AMENDS_NATS_OPEN" help:"Let the embedded NATS server listen beyond loopback without users or without TLS."`
	natsFlags             `group:"External NATS (with --nats-url no server is embedded)"`
	NATSResponderUser     string `name:"nats-responder-user" env:"AMENDS_NATS_RESPONDER_USER" help:"NATS user that answers requests and may do nothing else. Default: the user of everything else." group:"External NATS (with --nats-url no server is embedded)"`
	NATSResponderPassword string `name:"nats-responder-password" env:"AMENDS_NATS_RESPONDER_PASSWORD" secret:"" help:"The responder's password; better in the environment than on the command line." group:"External NATS (with --nats-url no server is embedded)"`
	NATSResponderCreds    string `name:"nats-responder-creds" env:"AMENDS_NATS_RESPONDER_CREDS" type:"path" placeholder:"FILE" help:"Or the responder's credentials file." group:"External NATS (with --nats-url no server is embedded)"`
	NATSResponderNKey     string `name:"nats-responder-nkey" env:"AMENDS_NATS_RESPONDER_NKEY" type:"path" placeholder:"FILE" help:"Or the file with the seed of the responder's nkey." group:"External NATS (with --nats-url no server is embedded)"`
	NATSReplicas          int    `name:"nats-replicas" env:"AMENDS_NATS_REPLICAS" default:"1" help:"Copies of each stream at the external server." group:"External NATS (with --nats-url no server is embedded)"`

	QueueBytes     int64         `name:"queue-bytes" env:"AMENDS_QUEUE_BYTES" placeholder:"N" help:"Most bytes in the stream of commands, and in that of answers; beyond, publishing is refused. Default: 512 MiB for a new stream; an existing one keeps its limit." group:"Streams"`
	LifecycleBytes int64         `name:"lifecycle-bytes" env:"AMENDS_LIFECYCLE_BYTES" placeholder:"N" help:"Most bytes in the lifecycle stream; beyond, the oldest are dropped. Default: 256 MiB for a new stream; an existing one keeps its limit." group:"Streams"`
	LifecycleAge   time.Duration `name:"lifecycle-age" env:"AMENDS_LIFECYCLE_AGE" placeholder:"DURATION" help:"How long announcements are kept. Default: 168h for a new stream; an existing one keeps its limit." group:"Streams"`
	DeadBytes      int64         `name:"dead-letter-bytes" env:"AMENDS_DEAD_LETTER_BYTES" placeholder:"N" help:"Most bytes of dead letters; beyond, the oldest are dropped. Default: 256 MiB for a new stream; an existing one keeps its limit." group:"Streams"`
	DeadAge        time.Duration `name:"dead-letter-age" env:"AMENDS_DEAD_LETTER_AGE" placeholder:"DURATION" help:"How long dead letters are kept. Default: 720h for a new stream; an existing one keeps its limit." group:"Streams"`
	MaxMessage     int           `name:"max-message-bytes" env:"AMENDS_MAX_MESSAGE_BYTES" placeholder:"N" help:"Most bytes of a command or answer, headers included. Default: the NATS server's limit less 32 KiB, which dead letters need." group:"Streams"`

	HTTP        string `name:"http" env:"AMENDS_HTTP" default:"127.0.0.1:8080" help:"Address of the API, health and metrics; port 0: a free one; empty: none."`
	API         string `name:"api" env:"AMENDS_API" enum:"local,off,insecure" default:"local" help:"Who may use the API when no authentication is configured (see Access): local, this machine only (--http must be loopback); off, nobody; insecure, anyone who reaches --http."`
	accessFlags `group:"Access (who may use --http beyond loopback)"`
	MaxStreams  int    `env:"AMENDS_MAX_STREAMS" default:"100" help:"Most open streams and NATS watch requests of one caller; ten times as many in all. Default: ${default}."`
	MaxWaits    int    `env:"AMENDS_MAX_WAITS" default:"1000" help:"Most HTTP requests of one caller that wait for a saga to end; ten times as many in all. Default: ${default}."`
	Pprof       bool   `env:"AMENDS_PPROF" help:"Serve profiles under /debug/pprof/ as well, to admins; without keys, on loopback only."`
	OTLP        string `name:"otlp-endpoint" env:"AMENDS_OTLP_ENDPOINT" placeholder:"URL" help:"OTLP/HTTP collector for traces, such as http://127.0.0.1:4318. OpenTelemetry's own OTEL_* variables are understood as well; without either there are no traces."`
	LogLevel    string `env:"AMENDS_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"How much to log: ${enum}. Debug has a line for every transition."`
	LogFormat   string `env:"AMENDS_LOG_FORMAT" enum:"json,text" default:"json" help:"How to log: ${enum}."`

	Name               string        `env:"AMENDS_NAME" default:"coordinator" help:"Name of its durable consumers on the bus; keep it over restarts."`
	Shards             int           `env:"AMENDS_SHARDS" default:"${shards}" help:"Goroutines that decide. Default: ${default}, one for every four processors and at least one."`
	MaxBatch           int           `env:"AMENDS_MAX_BATCH" default:"${max_batch}" help:"Inputs that are committed together. Default: ${default}."`
	MaxOpen            int           `env:"AMENDS_MAX_OPEN" default:"${max_open}" help:"Open sagas beyond which starts are refused. Default: ${default}."`
	MaxBacklog         int           `env:"AMENDS_MAX_BACKLOG" default:"4096" help:"Most commands waiting to be published; one participant may use what the others leave. Default: ${default}."`
	MaxUnanswered      int           `env:"AMENDS_MAX_UNANSWERED" default:"20000" help:"Most unanswered commands of one participant on the bus; further ones wait in the store. Default: ${default}."`
	MaxUnansweredBytes int           `env:"AMENDS_MAX_UNANSWERED_BYTES" default:"67108864" help:"The same in bytes. Default: ${default}."`
	Retention          time.Duration `env:"AMENDS_RETENTION" default:"720h" help:"How long a saga and its history are kept after its end."`
	AcceptClock        bool          `env:"AMENDS_ACCEPT_CLOCK" help:"Confirm that this machine's clock, which was set, is right: retention goes on at once instead of after 24 hours."`
	TombstoneRetention time.Duration `env:"AMENDS_TOMBSTONE_RETENTION" default:"8760h" help:"How long after its end a saga's id is remembered, so that the same start does not run twice."`

	TakeOver  bool   `env:"AMENDS_TAKE_OVER" help:"Take the prefix over from another store. The coordinator of that store stops when it notices: make sure that it should."`
	ReadyFile string `env:"AMENDS_READY_FILE" type:"path" placeholder:"FILE" help:"Write the addresses to this file, as JSON, once the coordinator is ready; removed when it stops."`
}

// config is the configuration as the server takes it, without definitions and
// logger.
func (f *serveFlags) config() server.Config {
	nats := f.server()
	nats.Replicas = f.NATSReplicas
	nats.Responder = natsbus.Credentials{User: f.NATSResponderUser, Password: f.NATSResponderPassword, CredentialsFile: f.NATSResponderCreds, NKeyFile: f.NATSResponderNKey}
	nats.QueueBytes, nats.LifecycleBytes, nats.DeadBytes = f.QueueBytes, f.LifecycleBytes, f.DeadBytes
	nats.LifecycleAge, nats.DeadAge, nats.MaxMessageBytes = f.LifecycleAge, f.DeadAge, f.MaxMessage
	nats.Listen, nats.Users, nats.Open = f.NATSListen, f.NATSUsers, f.NATSOpen
	nats.ListenCert, nats.ListenKey = f.NATSTLSCert, f.NATSTLSKey
	who, _ := f.accessFlags.config() // problem says what is wrong with it
	return server.Config{
		DataDir: f.DataDir, StoreKeys: f.StoreKeys, NATS: nats, Prefix: f.Prefix, HTTP: f.HTTP, API: server.API(f.API), Pprof: f.Pprof,
		Access: who, TLSCert: f.TLSCert, TLSKey: f.TLSKey, Plaintext: f.Plaintext, Redact: list(f.Redact),
		Name: f.Name, Shards: f.Shards, MaxBatch: f.MaxBatch, MaxOpen: f.MaxOpen,
		MaxBacklog: f.MaxBacklog, MaxUnanswered: f.MaxUnanswered, MaxUnansweredBytes: f.MaxUnansweredBytes, MaxStreams: f.MaxStreams, MaxWaits: f.MaxWaits,
		Retention: f.Retention, TombstoneRetention: f.TombstoneRetention, AcceptClock: f.AcceptClock, Version: version(), TakeOver: f.TakeOver,
	}
}

// problem is everything that is wrong with the flags and with the files that they
// name, given the server's configuration.
func (f *serveFlags) problem(config *server.Config) error {
	_, err := f.accessFlags.config()
	if f.ReadyFile != "" {
		if info, missing := os.Stat(filepath.Dir(f.ReadyFile)); missing != nil || !info.IsDir() {
			err = errors.Join(err, fmt.Errorf("ready file: %s is no directory in which it could be made", filepath.Dir(f.ReadyFile)))
		}
	}
	return errors.Join(config.Check(), err)
}

// definitions reads the definitions to register at the start.
func (f *serveFlags) definitions() ([]*saga.Definition, error) {
	if f.Definitions == "" {
		return nil, nil
	}
	return loadDefinitions([]string{f.Definitions})
}

// traces says where to send spans; nil: nowhere.
func (f *serveFlags) traces() (*otlp.Config, error) {
	wanted, err := otlp.Wanted(f.OTLP, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	if !wanted {
		return nil, nil
	}
	return &otlp.Config{Endpoint: f.OTLP, Service: "amends-coordinator"}, nil
}

func (f *serveFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // one of the enumeration
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

type serveCmd struct{ serveFlags }

// Run runs a coordinator until it is told to stop.
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
		config.Logger.Error("stopped by a failure", slog.Any("error", err))
		return err
	}
	config.Logger.Info("stopped: everything acknowledged is on disk")
	return nil
}

// run runs the server, with the ready file as long as it takes work.
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
				logger.Error("write the ready file", slog.String("file", c.ReadyFile), slog.Any("error", err))
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

// writeReady writes the ready file under another name first, so that whoever
// sees it sees it whole.
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
