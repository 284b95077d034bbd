package doctor

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/amends-dev/amends/internal/masked"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport/natsbus"
)

// Grade is the severity of a finding.
type Grade string

// The grades of findings.
const (
	OK      Grade = "ok"
	Unknown Grade = "unknown" // could not be checked
	Warning Grade = "warning" // works, but is a risk
	Problem Grade = "problem" // does not work, or is not secure
)

// Finding is the result of one check.
type Finding struct {
	Check string `json:"check"` // for example, replicas
	Grade Grade  `json:"grade"`
	Found string `json:"found"`
	Fix   string `json:"fix,omitempty"` // suggested fix; "" for ok
}

// Deployment describes the deployment to examine.
type Deployment struct {
	Server string // the coordinator's API, such as http://127.0.0.1:8080
	Client *http.Client
	Bare   *http.Client // a client without a token
	// NATS returns the configuration for connecting to the bus. It gets the address and the prefix
	// that the coordinator reports; both are "" if the coordinator reports none.
	NATS    func(url, prefix string) (natsbus.Config, error)
	Monitor string // monitoring endpoint of NATS, such as http://127.0.0.1:8222; "" means not known
	Store   string // the coordinator's store file; "" if it is not on this machine
	Now     func() time.Time
}

// exam is an examination in progress.
type exam struct {
	Deployment
	api         apiv1connect.CoordinatorServiceClient
	definitions []*saga.Definition // the definitions that could be read
	overview    *apiv1.Overview    // nil if the coordinator did not return it
	findings    []Finding
}

// Examine runs all checks, or those that it can run before ctx ends.
func Examine(ctx context.Context, p Deployment) []Finding {
	if p.Now == nil {
		p.Now = time.Now
	}
	e := &exam{Deployment: p, api: apiv1connect.NewCoordinatorServiceClient(p.Client, p.Server)}
	if e.ready(ctx) {
		e.entries(ctx)
		e.metrics(ctx)
		e.standstills(ctx)
		e.readDefinitions(ctx)
	}
	e.bus(ctx)
	e.sync(ctx)
	e.disk()
	return e.findings
}

func (e *exam) add(check string, grade Grade, found, fix string) {
	if grade == OK {
		fix = ""
	}
	e.findings = append(e.findings, Finding{check, grade, masked.Text(found), masked.Text(fix)}) // errors may quote URLs with passwords
}

// Worst returns the worst grade of all findings. From worst to best, the grades are problem,
// warning, unknown, ok.
func Worst(findings []Finding) Grade {
	rank := map[Grade]int{OK: 0, Unknown: 1, Warning: 2, Problem: 3}
	worst := OK
	for _, f := range findings {
		if rank[f.Grade] > rank[worst] {
			worst = f.Grade
		}
	}
	return worst
}

// local reports whether a URL names this machine.
func local(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
