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

// Grade is how a finding is.
type Grade string

// The grades.
const (
	OK      Grade = "ok"
	Unknown Grade = "unknown" // could not be looked at
	Warning Grade = "warning" // works, and will hurt one day
	Problem Grade = "problem" // does not work, or is not safe
)

// Finding is what was found about one thing.
type Finding struct {
	Check string `json:"check"` // such as replicas
	Grade Grade  `json:"grade"`
	Found string `json:"found"`
	Fix   string `json:"fix,omitempty"` // what to do; "" for ok
}

// Deployment is what is examined.
type Deployment struct {
	Server string // the coordinator's API, such as http://127.0.0.1:8080
	Client *http.Client
	Bare   *http.Client // the same without a token
	// NATS says how to reach the bus, given what the coordinator says of it: where, and with
	// which prefix; both are "" if it says nothing.
	NATS    func(url, prefix string) (natsbus.Config, error)
	Monitor string // NATS's monitoring, such as http://127.0.0.1:8222; "": not known
	Store   string // the coordinator's store file, if it is on this machine; "": it is not
	Now     func() time.Time
}

// exam is one examination.
type exam struct {
	Deployment
	api         apiv1connect.CoordinatorServiceClient
	definitions []*saga.Definition         // that were readable
	overview    *apiv1.GetOverviewResponse // nil: the coordinator does not tell
	findings    []Finding
}

// Examine looks at everything. ctx bounds it.
func Examine(ctx context.Context, p Deployment) []Finding {
	if p.Now == nil {
		p.Now = time.Now
	}
	e := &exam{Deployment: p, api: apiv1connect.NewCoordinatorServiceClient(p.Client, p.Server)}
	if e.ready(ctx) {
		e.doors(ctx)
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
	e.findings = append(e.findings, Finding{check, grade, masked.Text(found), masked.Text(fix)}) // what went wrong may quote a URL
}

// Worst is the worst grade of all: problem, warning, unknown, ok.
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

// local reports whether a URL leads to this machine.
func local(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
