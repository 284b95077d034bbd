package cli

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"

	"github.com/amends-dev/amends/internal/doctor"
	"github.com/amends-dev/amends/internal/terminal"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

type doctorCmd struct {
	callFlags
	natsFlags `group:"NATS"`
	Monitor   string `name:"nats-monitor" env:"AMENDS_NATS_MONITOR" placeholder:"URL" help:"The server's monitoring, such as http://127.0.0.1:8222, for what only it can say."`
	DataDir   string `env:"AMENDS_DATA_DIR" type:"path" placeholder:"DIR" help:"The coordinator's data directory, if it is on this machine."`
}

// Help says what it does.
func (doctorCmd) Help() string {
	return `Looks at a running deployment and says for each finding what to do: whether the coordinator takes
work, clocks, access and encryption, what waits for a person, streams, copies, the window of
deduplication against the longest attempt, subscriptions, JetStream's storage and sync, the disk.
It changes nothing. Exit code 1: there is a problem.

Examples:
  coordinator doctor                       # NATS is looked for where the coordinator says it is
  coordinator doctor --server https://sagas.example.com --nats-url tls://nats.example.com -o json
  coordinator doctor --data-dir /var/lib/amends --nats-monitor http://127.0.0.1:8222`
}

// Run examines a deployment.
func (c *doctorCmd) Run(env *environment) error {
	ctx, cancel := context.WithTimeout(env.ctx, c.Timeout)
	defer cancel()
	t, err := c.target()
	if err != nil {
		return err
	}
	client, err := t.transport()
	if err != nil {
		return err
	}
	bare, err := target{ca: t.ca}.transport()
	if err != nil {
		return err
	}
	given, err := c.bus("", "")
	if err = errors.Join(err, given.CheckFiles()); err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	defer env.waits("the coordinator at "+t.server+" and its NATS", c.Timeout)()
	deployment := doctor.Deployment{Server: t.server, Client: client, Bare: bare, NATS: c.bus, Monitor: c.Monitor}
	if c.DataDir != "" {
		deployment.Store = filepath.Join(c.DataDir, server.StoreFile)
	}
	return c.report(env, doctor.Examine(ctx, deployment))
}

// bus says how to reach the bus: as the flags say, or else where the coordinator does.
func (c *doctorCmd) bus(url, prefix string) (natsbus.Config, error) {
	n := c.server()
	n.URL = cmp.Or(n.URL, url)
	return n.Bus("amends-doctor", cmp.Or(prefix, c.Prefix))
}

// report prints the findings, problems last, where one looks first.
func (c *doctorCmd) report(env *environment, findings []doctor.Finding) error {
	if err := c.print(env.stdout, findings, func(w *terminal.Stream) {
		for _, grade := range []doctor.Grade{doctor.OK, doctor.Unknown, doctor.Warning, doctor.Problem} {
			for _, f := range findings {
				if f.Grade != grade {
					continue
				}
				w.Printf("%s%*s %s: %s\n", w.Word(string(f.Grade)), 8-len(f.Grade), "", f.Check, f.Found)
				if f.Fix != "" {
					w.Printf("%8s → %s\n", "", f.Fix)
				}
			}
		}
	}); err != nil {
		return err
	}
	if doctor.Worst(findings) == doctor.Problem {
		return &exitError{code: ExitFailed, err: errors.New("there is a problem")}
	}
	return nil
}
