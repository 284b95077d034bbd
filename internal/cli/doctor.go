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
	Monitor   string `name:"nats-monitor" env:"AMENDS_NATS_MONITOR" placeholder:"URL" help:"Monitoring endpoint of the NATS server, such as http://127.0.0.1:8222, for checks that need it."`
	DataDir   string `env:"AMENDS_DATA_DIR" type:"path" placeholder:"DIR" help:"The coordinator's data directory, if it is on this machine."`
}

// Help lists what is examined.
func (doctorCmd) Help() string {
	return `Examines a running deployment and suggests a fix for each finding: readiness of the coordinator,
clocks, access and encryption, sagas and dead letters that need an operator, the log of the store and
its checkpoints, streams, replicas, the deduplication window, subscriptions, JetStream storage and
sync, and the disk.
It changes nothing. Exit code 1: there is a problem.

Examples:
  coordinator doctor                       # asks the coordinator for the address of NATS
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

// bus returns the configuration for connecting to the bus. It uses the flags, or else the url and
// prefix that the coordinator reports.
func (c *doctorCmd) bus(url, prefix string) (natsbus.Config, error) {
	n := c.server()
	n.URL = cmp.Or(n.URL, url)
	return n.Bus("amends-doctor", cmp.Or(prefix, c.Prefix))
}

// report prints the findings. Problems come last, next to the prompt.
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
		return &exitError{code: ExitFailed, err: errors.New("problems were found; see above")}
	}
	return nil
}
