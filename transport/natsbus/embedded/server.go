package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport/natsbus/internal/strict"
)

// Config configures the server. Only StoreDir is required.
type Config struct {
	StoreDir     string              // directory of JetStream's files; created if missing
	Name         string              // name of the server; "" means amends
	Host         string              // address to listen on; "" means 127.0.0.1
	Port         int                 // 0 means no port, only InProcess; -1 means any free port
	ListenLater  bool                // do not listen before Listen; clients of this process can connect at once
	SyncInterval time.Duration       // interval between fsyncs; 0 means 200 ms; negative means every message (slow)
	MaxStore     int64               // bytes on disk; 0 means three quarters of the free space
	MaxMemory    int64               // bytes of streams in memory; 0 means three quarters of the memory
	MaxPayload   int32               // bytes per message, including headers; 0 means 1 MiB
	User         string              // name that clients need, with Password; "" means no authentication
	UsersFile    string              // alternative to User: file with the accounts block of a server configuration
	Account      string              // with UsersFile: the account with JetStream, used by clients of this process
	Responder    *server.Permissions // with UsersFile: permissions of clients that connect with Responder
	TLS          *tls.Config         // for clients outside this process; nil means no TLS
	Password     string
	Keys         []string      // secrets that encrypt the stream files: the current and at most one old; nil means none
	Logger       server.Logger // nil means no logging
	Debug        bool          // whether Logger also receives debug output
	ReadyTimeout time.Duration // how long Start waits for the server; 0 means 10 s
}

// Server is a running NATS server.
type Server struct {
	server            *server.Server
	inside, responder *server.User // users for clients of this process; nil without authentication
	listenLater       bool         // whether Listen has to listen
	address           string       // where Listen listens
}

// Start runs a server. It returns when the server accepts connections.
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
	return &Server{
		server: s, inside: inside, responder: responder,
		listenLater: config.ListenLater && config.Port != 0, address: net.JoinHostPort(options.Host, strconv.Itoa(max(config.Port, 0))),
	}, nil
}

// handshake is the timeout of a client's TLS handshake. The server's default of 2 s is too short on
// a busy machine.
const handshake = 10 * time.Second

func (config Config) options() *server.Options {
	options := &server.Options{
		ServerName:            config.Name,
		Host:                  config.Host,
		Port:                  config.Port,
		DontListen:            config.Port == 0 || config.ListenLater,
		JetStream:             true,
		StoreDir:              config.StoreDir,
		SyncInterval:          config.SyncInterval,
		JetStreamMaxStore:     config.MaxStore,
		JetStreamMaxMemory:    config.MaxMemory,
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

// Listen accepts clients from outside this process, if Config.ListenLater is set and Config.Port is
// not 0. Otherwise it does nothing.
func (s *Server) Listen() error {
	if !s.listenLater {
		return nil
	}
	s.server.AcceptLoop(make(chan struct{}))
	if s.server.Addr() == nil {
		return fmt.Errorf("listen on %s: the embedded NATS server could not; is the port free?", s.address)
	}
	return nil
}

// ClientURL returns the address for clients outside this process, or "" if there is no port.
func (s *Server) ClientURL() string {
	if s.server.Addr() == nil {
		return ""
	}
	return s.server.ClientURL()
}

// InProcess returns an option that connects a client of this process without a network:
// nats.Connect("", server.InProcess()).
func (s *Server) InProcess() nats.Option { return s.as(s.inside) }

// Responder is like InProcess, for a client with the permissions of Config.Responder.
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

// Healthy returns an error if the server does not run.
func (s *Server) Healthy() error {
	if !s.server.Running() {
		return errors.New("the embedded NATS server has been shut down")
	}
	if !s.server.JetStreamEnabled() {
		return errors.New("embedded NATS server: JetStream has been disabled, which happens when the disk is full or broken; see the server's log")
	}
	return nil
}

// Shutdown stops the server. It returns when all data is written and all files are closed. Close
// the clients first.
func (s *Server) Shutdown() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
