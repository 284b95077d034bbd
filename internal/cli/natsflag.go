package cli

import (
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

// natsFlags selects a NATS server and the credentials.
type natsFlags struct {
	NATSURL      string `name:"nats-url" env:"AMENDS_NATS_URL,NATS_URL" placeholder:"URL" help:"NATS server, or several separated by commas."`
	NATSCreds    string `name:"nats-creds" env:"AMENDS_NATS_CREDS,NATS_CREDS" type:"path" placeholder:"FILE" help:"Credentials file for NATS."`
	NATSNKey     string `name:"nats-nkey" env:"AMENDS_NATS_NKEY" type:"path" placeholder:"FILE" help:"File with the seed of an nkey for NATS."`
	NATSUser     string `name:"nats-user" env:"AMENDS_NATS_USER" help:"User for NATS."`
	NATSPassword string `name:"nats-password" env:"AMENDS_NATS_PASSWORD" secret:"" help:"Password for NATS; better in the environment than on the command line."`
	NATSToken    string `name:"nats-token" env:"AMENDS_NATS_TOKEN" secret:"" help:"Token for NATS; better in the environment than on the command line."`
	NATSPlain    bool   `name:"nats-plaintext" env:"AMENDS_NATS_PLAINTEXT" help:"Send the password or token to another machine without TLS; only over trusted networks."`
	NATSCA       string `name:"nats-ca" env:"AMENDS_NATS_CA" type:"path" placeholder:"FILE" help:"CA certificates to trust, PEM."`
	NATSCert     string `name:"nats-cert" env:"AMENDS_NATS_CERT" type:"path" placeholder:"FILE" help:"Client certificate, PEM."`
	NATSKey      string `name:"nats-key" env:"AMENDS_NATS_KEY" type:"path" placeholder:"FILE" help:"Key of the client certificate, PEM."`
	NATSInbox    string `name:"nats-inbox" env:"AMENDS_NATS_INBOX" placeholder:"PREFIX" help:"Prefix of reply subjects, if the NATS user may subscribe only to subjects with its own prefix. Default: _INBOX."`
	Prefix       string `env:"AMENDS_PREFIX" default:"saga" help:"Prefix (first token) of every subject."`
}

// server converts the flags to a server.NATS.
func (f *natsFlags) server() server.NATS {
	return server.NATS{
		URL:         f.NATSURL,
		Credentials: natsbus.Credentials{User: f.NATSUser, Password: f.NATSPassword, Token: f.NATSToken, CredentialsFile: f.NATSCreds, NKeyFile: f.NATSNKey},
		CAFile:      f.NATSCA,
		CertFile:    f.NATSCert,
		KeyFile:     f.NATSKey,
		InboxPrefix: f.NATSInbox,
		Plaintext:   f.NATSPlain,
	}
}
