package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// Bus returns the configuration for a connection to the external server.
func (n NATS) Bus(name, prefix string) (natsbus.Config, error) {
	if err := errors.Join(checkURLs(n.URL), n.validateSecrets()); err != nil {
		return natsbus.Config{}, fmt.Errorf("nats url: %w", err)
	}
	c := natsbus.Config{
		URL: n.URL, Name: name, Prefix: prefix, Replicas: n.Replicas,
		User: n.Credentials.User, Password: n.Credentials.Password, Token: n.Credentials.Token,
		CredentialsFile: n.Credentials.CredentialsFile, NKeyFile: n.Credentials.NKeyFile, InboxPrefix: n.InboxPrefix,
		QueueBytes: n.QueueBytes, LifecycleBytes: n.LifecycleBytes, DeadBytes: n.DeadBytes,
		LifecycleAge: n.LifecycleAge, DeadAge: n.DeadAge, MaxMessageBytes: n.MaxMessageBytes,
	}
	if n.CAFile == "" && n.CertFile == "" {
		return c, nil
	}
	c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if n.CAFile != "" {
		pem, err := os.ReadFile(n.CAFile)
		if err != nil {
			return c, fmt.Errorf("read the certificates to trust: %w", err)
		}
		c.TLS.RootCAs = x509.NewCertPool()
		if !c.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return c, fmt.Errorf("read the certificates to trust: %s holds no certificate in PEM form", n.CAFile)
		}
	}
	if n.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(n.CertFile, n.KeyFile)
		if err != nil {
			return c, fmt.Errorf("read the client certificate %s and its key %s: %w", n.CertFile, n.KeyFile, err)
		}
		c.TLS.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// responderRights returns the permissions of the connection that answers requests on the embedded
// server.
func responderRights(prefix string) (*server.Permissions, error) {
	grant, err := natsbus.Config{Prefix: prefix}.Grant(natsbus.RoleResponder, "coordinator")
	if err != nil {
		return nil, err
	}
	return &server.Permissions{Publish: &server.SubjectPermission{Allow: grant.Publish}, Subscribe: &server.SubjectPermission{Allow: grant.Subscribe}}, nil
}

func (s *Server) startServer(ctx context.Context) error {
	if s.config.NATS.URL != "" {
		return nil
	}
	host, port, err := splitListen(s.config.NATS.Listen)
	if err != nil {
		return err
	}
	if port == 0 {
		port = -1 // selects a free port
	} else if err := probe(ctx, "nats-listen", s.config.NATS.Listen); err != nil {
		return err
	}
	streamKeys, err := s.streamKeys()
	if err != nil {
		return err
	}
	rights, err := responderRights(s.config.Prefix)
	if err != nil {
		return err
	}
	var secure *tls.Config
	if s.files.listen != nil {
		secure = s.files.listen.Config()
	}
	embedding, err := embedded.Start(embedded.Config{
		Keys:     streamKeys,
		StoreDir: filepath.Join(s.config.DataDir, "nats"), Host: host, Port: port, Logger: serverLog{s.config.Logger, loglimit.NewLimiter()},
		ListenLater: true, MaxMemory: 2 * s.files.memory,
		UsersFile: s.config.NATS.Users, Account: natsbus.Account, Responder: rights, TLS: secure,
	})
	if err != nil {
		return err
	}
	s.server = embedding
	s.closing("the embedded NATS server", func() error { embedding.Shutdown(); return nil })
	if !loopback(host) && s.config.NATS.Open {
		s.config.Logger.Warn("the embedded NATS server can be reached from other machines without authentication, or receives passwords without TLS; let only trusted networks reach it",
			slog.String("listen", s.config.NATS.Listen))
	}
	return nil
}

// listenNATS lets the embedded server listen, now that its streams and their consumers exist: a
// service that pulls from a consumer must not find it missing.
func (s *Server) listenNATS(context.Context) error {
	if s.server == nil {
		return nil
	}
	return s.server.Listen()
}

// streamKeys returns the keys that encrypt the embedded server's streams.
func (s *Server) streamKeys() ([]string, error) {
	if s.files.keys == nil {
		return nil, nil
	}
	return s.files.keys.Derive("streams")
}

func (s *Server) connectBus(ctx context.Context) error {
	c, err := s.busConfig("amends-coordinator")
	if err != nil {
		return err
	}
	switch {
	case s.server == nil:
		c.Responder, err = s.config.NATS.Responder.Options()
	case s.config.NATS.Users != "":
		c.Responder = []nats.Option{s.server.Responder()}
	}
	if err != nil {
		return err
	}
	if s.server != nil {
		c.ConsumersFile = filepath.Join(s.config.DataDir, ConsumersFile)
	}
	bus, err := natsbus.Connect(ctx, c)
	if err != nil {
		return err
	}
	s.bus, s.used = bus, crashpoint.Wrap[coordinator.Bus](bus)
	s.closing("the bus", bus.Close)
	return nil
}

// Connect opens a new connection to the NATS server and the streams of this Server, with its
// credentials and its prefix. name is the name of the connection on the NATS server. The connection
// does not use the network if the NATS server is embedded. Before the Server has started, Connect
// returns an error. The caller closes the connection before it stops the Server.
func (s *Server) Connect(ctx context.Context, name string) (*natsbus.Bus, error) {
	select {
	case <-s.started:
	default:
		return nil, errors.New("connect to NATS: the server has not started; wait for Started first")
	}
	c, err := s.busConfig(name)
	if err != nil {
		return nil, err
	}
	return natsbus.Connect(ctx, c)
}

func (s *Server) busConfig(name string) (natsbus.Config, error) {
	c, err := s.config.NATS.Bus(name, s.config.Prefix)
	if err != nil {
		return c, err
	}
	c.Provision = natsbus.ProvisionCreate
	if s.files.memory > 0 {
		c.Memory, c.QueueBytes = true, s.files.memory
	}
	c.Logger, c.HideData = s.config.Logger, len(s.config.Redact) > 0
	c.OnMalformed = func(transport.Stream, string) { s.metrics.DeadLetter(coordinator.DeadLetterMalformed) }
	if s.server != nil {
		c.Options = []nats.Option{s.server.InProcess()}
	}
	return c, nil
}

// serverLog forwards the embedded server's log. It limits repeated warnings, because the server
// logs a warning for each message that a client may not publish.
type serverLog struct {
	logger  *slog.Logger
	limiter *loglimit.Limiter
}

func (l serverLog) say(level slog.Level, format string, v []any) {
	attrs := []slog.Attr{slog.String("component", "nats-server")}
	if level >= slog.LevelWarn {
		more, ok := l.limiter.Admit(format, time.Now(), nil)
		if !ok {
			return
		}
		if more > 0 {
			attrs = append(attrs, slog.Int(loglimit.MoreKey, more))
		}
	}
	l.logger.LogAttrs(context.Background(), level, fmt.Sprintf(format, v...), attrs...)
}

// Noticef logs at debug level, because the server uses notices for normal operation.
func (l serverLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }

// Warnf logs a warning.
func (l serverLog) Warnf(format string, v ...any) { l.say(slog.LevelWarn, format, v) }

// Errorf logs an error.
func (l serverLog) Errorf(format string, v ...any) { l.say(slog.LevelError, format, v) }

// Fatalf logs an error, and does not end the process.
func (l serverLog) Fatalf(format string, v ...any) { l.say(slog.LevelError, format, v) }

// Debugf discards the message: the server logs a debug message for every NATS message.
func (l serverLog) Debugf(string, ...any) {}

// Tracef discards the message.
func (l serverLog) Tracef(string, ...any) {}
