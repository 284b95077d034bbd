package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport/natsbus/internal/strict"
)

// Config configures the server. StoreDir is required, all else has defaults.
type Config struct {
	StoreDir     string              // where JetStream keeps its files; created if missing
	Name         string              // of the server; "": amends
	Host         string              // to listen on; "": 127.0.0.1
	Port         int                 // 0: no port, only clients of this process (InProcess); -1: a free one
	SyncInterval time.Duration       // how often files are fsynced; 0: 200 ms; negative: after every message (slow)
	MaxStore     int64               // bytes on disk; 0: three quarters of the free space
	MaxPayload   int32               // bytes per message, headers included; 0: 1 MiB
	User         string              // with Password: what clients must give; "": no login
	UsersFile    string              // instead: file with the accounts block of a NATS server's configuration; "": none
	Account      string              // with UsersFile: the account with JetStream, for clients of this process
	Responder    *server.Permissions // with UsersFile: the permissions of clients that connect with Responder
	TLS          *tls.Config         // for clients outside this process; nil: none
	Password     string
	Keys         []string      // secrets that encrypt the stream files: current first, at most one more; none: plain
	Logger       server.Logger // nil: silent
	Debug        bool          // with Logger: also debug output
	ReadyTimeout time.Duration // how long Start waits for the server; 0: 10 s
}

// Server is a running NATS server.
type Server struct {
	server            *server.Server
	inside, responder *server.User // the users for clients of this process; nil: no login
}

// Start runs a server and returns when it accepts connections.
func Start(config Config) (*Server, error) {
	if config.StoreDir == "" {
		return nil, errors.New("start embedded NATS server: Config.StoreDir is empty; name a directory for its files")
	}
	options := config.options()
	inside, responder, err := config.admit(options)
	if err != nil {
		return nil, fmt.Errorf("start embedded NATS server: %w", err)
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("start embedded NATS server: %w", err)
	}
	if config.Logger != nil {
		s.SetLoggerV2(config.Logger, config.Debug, false, false)
	}
	s.Start()
	ready := config.ReadyTimeout
	if ready == 0 {
		ready = 10 * time.Second
	}
	if !s.ReadyForConnections(ready) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("start embedded NATS server: not ready after %s with store %s, host %s, port %d; is the directory writable and the port free?",
			ready, options.StoreDir, options.Host, options.Port)
	}
	return &Server{server: s, inside: inside, responder: responder}, nil
}

// handshake is the timeout of a client's TLS handshake. The server's default of two seconds is too
// short for a busy machine.
const handshake = 10 * time.Second

func (config Config) options() *server.Options {
	options := &server.Options{
		ServerName:            config.Name,
		Host:                  config.Host,
		Port:                  config.Port,
		DontListen:            config.Port == 0,
		JetStream:             true,
		StoreDir:              config.StoreDir,
		SyncInterval:          config.SyncInterval,
		JetStreamMaxStore:     config.MaxStore,
		MaxPayload:            config.MaxPayload,
		Username:              config.User,
		Password:              config.Password,
		NoSigs:                true,
		NoLog:                 config.Logger == nil,
		DisableShortFirstPing: true,
		TLSConfig:             config.TLS,
		TLSTimeout:            handshake.Seconds(),
		AuthTimeout:           (handshake + 2*time.Second).Seconds(),
	}
	if options.ServerName == "" {
		options.ServerName = "amends"
	}
	if options.Host == "" {
		options.Host = "127.0.0.1"
	}
	if len(config.Keys) > 0 {
		options.JetStreamKey, options.JetStreamCipher = config.Keys[0], server.AES
	}
	if len(config.Keys) > 1 {
		options.JetStreamOldKey = config.Keys[1]
	}
	switch {
	case config.SyncInterval == 0:
		options.SyncInterval = 200 * time.Millisecond
	case config.SyncInterval < 0:
		options.SyncInterval, options.SyncAlways = time.Minute, true
	}
	return options
}

// ClientURL returns the address for clients outside this process, "" without a port.
func (s *Server) ClientURL() string {
	if s.server.Addr() == nil {
		return ""
	}
	return s.server.ClientURL()
}

// InProcess returns the option to connect a client of this process without a network:
// nats.Connect("", server.InProcess()).
func (s *Server) InProcess() nats.Option { return s.as(s.inside) }

// Responder is InProcess for a client with the permissions of Config.Responder.
func (s *Server) Responder() nats.Option { return s.as(s.responder) }

func (s *Server) as(u *server.User) nats.Option {
	return func(o *nats.Options) error {
		if u != nil {
			o.User, o.Password = u.Username, u.Password
		}
		return nats.InProcessServer(inside{s.server})(o)
	}
}

// inside adapts a server to nats.InProcessConnProvider.
type inside struct{ server *server.Server }

// InProcessConn implements nats.InProcessConnProvider.
func (i inside) InProcessConn() (net.Conn, error) {
	conn, err := i.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	return strict.New(conn), nil
}

// Healthy returns nil while the server runs.
func (s *Server) Healthy() error {
	if !s.server.Running() {
		return errors.New("embedded NATS server: it has been shut down")
	}
	if !s.server.JetStreamEnabled() {
		return errors.New("embedded NATS server: JetStream has been disabled, which happens when the disk is full or broken; see the server's log")
	}
	return nil
}

// Shutdown stops the server, and returns when everything is written and closed. Close the clients
// first.
func (s *Server) Shutdown() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
