package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
)

// maxBody is the maximum size of a response, in bytes.
const maxBody = 8 << 20

// get requests a page from the coordinator.
func (e *exam) get(ctx context.Context, path string) (status int, body string, date time.Time, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Server+path, http.NoBody)
	if err != nil {
		return 0, "", date, err
	}
	response, err := e.Client.Do(request)
	if err != nil {
		return 0, "", date, err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	date, _ = http.ParseTime(response.Header.Get("Date"))
	return response.StatusCode, string(data), date, err
}

// ready examines whether the coordinator is ready, and compares the coordinator's clock with this
// machine's.
func (e *exam) ready(ctx context.Context) (reachable bool) {
	asked := e.Now()
	status, body, date, err := e.get(ctx, "/readyz")
	switch {
	case err != nil:
		e.add("coordinator", Problem, err.Error(), "start it with: coordinator serve; or give its address with --server")
		return false
	case status != http.StatusOK:
		e.add("coordinator", Problem, fmt.Sprintf("%s is not ready: %s", e.Server, strings.TrimSpace(body)), "see its log; for a failed store check the disk, for an unreachable bus check NATS")
	default:
		e.add("coordinator", OK, e.Server+" is ready", "")
	}
	if !date.IsZero() {
		e.clock("clock of the coordinator", date, asked, time.Second) // the header has a resolution of one second
	}
	return true
}

// maxSkew is the tolerated clock skew; timeouts and deadlines are longer.
const maxSkew = 2 * time.Second

// clock compares another machine's clock with this machine's. theirs was read at some time between
// asked and now, so a slow answer does not count as skew.
func (e *exam) clock(check string, theirs, asked time.Time, resolution time.Duration) {
	skew := max(asked.Sub(theirs), theirs.Sub(e.Now()), 0)
	if skew > maxSkew+resolution {
		e.add(check, Warning, fmt.Sprintf("differs by %s from this machine's clock", skew.Round(time.Millisecond)),
			"synchronize both with NTP: timeouts, deadlines and the expiry of requests are compared between machines")
		return
	}
	e.add(check, OK, fmt.Sprintf("within %s of this machine's clock", max(maxSkew, resolution)), "")
}

// entries examines whether the API can be used without a token, and whether it is encrypted.
func (e *exam) entries(ctx context.Context) {
	const check = "access to the API"
	_, err := apiv1connect.NewCoordinatorServiceClient(e.Bare, e.Server).ListDefinitions(ctx, connect.NewRequest(&apiv1.ListDefinitionsRequest{}))
	encrypted := strings.HasPrefix(e.Server, "https://")
	switch code := connect.CodeOf(err); {
	case err == nil && local(e.Server):
		e.add(check, OK, "open to everybody on this machine", "")
	case err == nil:
		e.add(check, Problem, "everybody who can reach "+e.Server+" can read and operate sagas", "configure tokens or OpenID Connect, or listen on loopback only; see docs/SECURITY-GUIDE.md")
	case code == connect.CodeUnauthenticated || code == connect.CodePermissionDenied:
		e.add(check, OK, "authentication is required", "")
	default:
		e.add(check, Unknown, err.Error(), "unexpected answer from the API; check that the coordinator is of the same release as this command")
	}
	switch {
	case encrypted:
		e.add("encryption of the API", OK, "TLS", "")
	case local(e.Server):
		e.add("encryption of the API", OK, "none; the connection does not leave this machine", "")
	default:
		e.add("encryption of the API", Problem, "tokens and payloads are sent over the network unencrypted", "configure TLS with --tls-cert, or put a proxy with TLS in front")
	}
}

// readDefinitions reads all registered definitions.
func (e *exam) readDefinitions(ctx context.Context) {
	list, err := e.api.ListDefinitions(ctx, connect.NewRequest(&apiv1.ListDefinitionsRequest{}))
	if err != nil {
		e.add("definitions", Unknown, err.Error(), "use a token whose role may read definitions")
		return
	}
	var unreadable error
	for _, d := range list.Msg.GetDefinitions() {
		r, err := e.api.GetDefinition(ctx, connect.NewRequest(&apiv1.GetDefinitionRequest{Definition: d.GetRef()}))
		var def *saga.Definition
		if err == nil {
			def, err = saga.ParseJSON([]byte(r.Msg.GetDefinition().GetCanonical()))
		}
		if err != nil {
			unreadable = errors.Join(unreadable, fmt.Errorf("%s/%d: %w", d.GetRef().GetName(), d.GetRef().GetVersion(), err))
			continue
		}
		e.definitions = append(e.definitions, def)
	}
	if unreadable != nil {
		e.add("definitions", Unknown, unreadable.Error(), "use this command from the same release as the coordinator")
	}
}

// metrics examines pending and failed work.
func (e *exam) metrics(ctx context.Context) {
	status, body, _, err := e.get(ctx, "/metrics")
	if err != nil || status != http.StatusOK {
		e.add("metrics", Unknown, fmt.Sprintf("%s/metrics answered %d, %v", e.Server, status, err), "use a token whose role may read metrics")
		return
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		e.add("metrics", Unknown, err.Error(), "check that this is the address of a coordinator")
		return
	}
	e.count(families, "parked sagas", "amends_sagas_parked", Warning, "waiting for an operator: %.0f", "list them with: coordinator list --phase parked --open")
	e.count(families, "blocked sagas", "amends_sagas_blocked", Problem, "%.0f cannot continue: the record is damaged, or the definition is missing", "the console's overview lists them; see docs/RUNBOOK.md (AmendsSagasBlocked)")
	e.count(families, "records of the store", "amends_store_damaged_records", Problem, "damaged: %.0f", "the log names them; make a backup, and list all damage with: coordinator verify <backup>; see docs/RUNBOOK.md#amendsstoredamaged")
	e.store(families)
	e.count(families, "dead letters", "amends_dead_letters_total", Warning, "since the coordinator started: %.0f", "list them with: coordinator dead-letters list")
	e.count(families, "dropped dead letters", "amends_dead_letters_dropped_total", Warning, "dropped since the coordinator started: %.0f", "the log names the participant that causes them; see docs/RUNBOOK.md (AmendsDeadLettersDropped)")
	e.count(families, "outbox", "amends_outbox_oldest_age_seconds", Problem, "the oldest pending message has waited for %.0f s", "NATS does not accept messages: check the server, its disk and its limits")
	e.count(families, "bus resets", "amends_bus_resets_total", Warning, "NATS may have lost messages, so that pending messages were sent again; number of times since the coordinator started: %.0f", "check the NATS server for restarts, its disk, and for deleted streams")
}

// standstills reports the coordinator's standstills.
func (e *exam) standstills(ctx context.Context) {
	const check = "standstill"
	r, err := e.api.GetOverview(ctx, connect.NewRequest(&apiv1.GetOverviewRequest{}))
	if err != nil {
		e.add(check, Unknown, err.Error(), "use a token whose role may read sagas")
		return
	}
	e.overview = r.Msg.GetOverview()
	for _, s := range e.overview.GetStandstills() {
		grade := Warning
		if s.GetStops() {
			grade = Problem
		}
		name := check + " of " + s.GetKind()
		if s.GetObject() != "" {
			name += " " + s.GetObject()
		}
		e.add(name, grade, fmt.Sprintf("since %s: %s", s.GetSince().AsTime().Format(time.RFC3339), s.GetReason()), s.GetFix())
	}
	if len(e.overview.GetStandstills()) == 0 {
		e.add(check, OK, "none", "")
	}
}

// count adds a finding for a metric that should be zero.
func (e *exam) count(families map[string]*dto.MetricFamily, check, name string, grade Grade, found, fix string) {
	family, ok := families[name]
	sum := 0.0
	for _, m := range family.GetMetric() {
		sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	switch {
	case !ok && !strings.HasSuffix(name, "_total"): // counters with labels appear only with their first event
		e.add(check, Unknown, "the metric "+name+" is missing", "check that the coordinator is of the same release as this command")
	case sum < 1:
		e.add(check, OK, "none", "")
	default:
		e.add(check, grade, fmt.Sprintf(found, sum), fix)
	}
}
