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

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 8 << 20

// get asks the coordinator for a page.
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

// ready asks whether the coordinator takes work, and compares clocks.
func (e *exam) ready(ctx context.Context) (reachable bool) {
	asked := e.Now()
	status, body, date, err := e.get(ctx, "/readyz")
	switch {
	case err != nil:
		e.add("coordinator", Problem, err.Error(), "start it with: coordinator serve; or say where it is with --server")
		return false
	case status != http.StatusOK:
		e.add("coordinator", Problem, fmt.Sprintf("%s answers and takes no work: %s", e.Server, strings.TrimSpace(body)), "its log says why; a store that failed wants the disk looked at, a bus that is away wants NATS looked at")
	default:
		e.add("coordinator", OK, e.Server+" takes work", "")
	}
	if !date.IsZero() {
		e.clock("clock of the coordinator", date, asked, time.Second) // the header has seconds
	}
	return true
}

// maxSkew is how far two clocks may be apart: attempts and deadlines are longer.
const maxSkew = 2 * time.Second

// clock compares what another machine's clock showed, some time between asked and now,
// with this one. However long the answer took, that is no difference of clocks.
func (e *exam) clock(check string, theirs, asked time.Time, resolution time.Duration) {
	skew := max(asked.Sub(theirs), theirs.Sub(e.Now()), 0)
	if skew > maxSkew+resolution {
		e.add(check, Warning, fmt.Sprintf("is %s away from this machine's", skew.Round(time.Millisecond)),
			"let both follow NTP: timeouts, deadlines and the expiry of requests are compared between machines")
		return
	}
	e.add(check, OK, fmt.Sprintf("agrees with this machine's within %s", max(maxSkew, resolution)), "")
}

// doors tries the API without a key.
func (e *exam) doors(ctx context.Context) {
	const check = "access to the API"
	_, err := apiv1connect.NewCoordinatorServiceClient(e.Bare, e.Server).ListDefinitions(ctx, connect.NewRequest(&apiv1.ListDefinitionsRequest{}))
	encrypted := strings.HasPrefix(e.Server, "https://")
	switch code := connect.CodeOf(err); {
	case err == nil && local(e.Server):
		e.add(check, OK, "anybody on this machine is let in", "")
	case err == nil:
		e.add(check, Problem, "anybody who reaches "+e.Server+" may read sagas and decide about them", "give the coordinator tokens or OpenID Connect, or let it listen on loopback only; docs/SECURITY-GUIDE.md says how")
	case code == connect.CodeUnauthenticated || code == connect.CodePermissionDenied:
		e.add(check, OK, "nobody is let in without a key", "")
	default:
		e.add(check, Unknown, err.Error(), "the API does not answer as it should; is the coordinator of the same release?")
	}
	switch {
	case encrypted:
		e.add("encryption of the API", OK, "TLS", "")
	case local(e.Server):
		e.add("encryption of the API", OK, "none, and it does not leave this machine", "")
	default:
		e.add("encryption of the API", Problem, "tokens and payloads cross the network as they are", "serve https, or put a proxy with TLS before it")
	}
}

// readDefinitions reads all registered definitions.
func (e *exam) readDefinitions(ctx context.Context) {
	list, err := e.api.ListDefinitions(ctx, connect.NewRequest(&apiv1.ListDefinitionsRequest{}))
	if err != nil {
		e.add("definitions", Unknown, err.Error(), "give a token whose role may read")
		return
	}
	var unreadable error
	for _, d := range list.Msg.GetDefinitions() {
		r, err := e.api.GetDefinition(ctx, connect.NewRequest(&apiv1.GetDefinitionRequest{Ref: d.GetRef()}))
		var def *saga.Definition
		if err == nil {
			def, err = saga.ParseJSON([]byte(r.Msg.GetDefinition().GetSource()))
		}
		if err != nil {
			unreadable = errors.Join(unreadable, fmt.Errorf("%s/%d: %w", d.GetRef().GetName(), d.GetRef().GetVersion(), err))
			continue
		}
		e.definitions = append(e.definitions, def)
	}
	if unreadable != nil {
		e.add("definitions", Unknown, unreadable.Error(), "use a coordinator command of the coordinator's own release")
	}
}

// metrics looks at what waits and what failed.
func (e *exam) metrics(ctx context.Context) {
	status, body, _, err := e.get(ctx, "/metrics")
	if err != nil || status != http.StatusOK {
		e.add("metrics", Unknown, fmt.Sprintf("%s/metrics answers %d, %v", e.Server, status, err), "give a token whose role may read metrics")
		return
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		e.add("metrics", Unknown, err.Error(), "is this a coordinator's address?")
		return
	}
	e.count(families, "parked sagas", "amends_sagas_parked", Warning, "waiting for an operator: %.0f", "see them with: coordinator list --phase parked --open")
	e.count(families, "blocked sagas", "amends_sagas_blocked", Problem, "%.0f cannot be moved: the record is damaged, or the definition is gone", "the console's overview names them; docs/RUNBOOK.md (AmendsSagasBlocked) says what to do")
	e.count(families, "records of the store", "amends_store_damaged_records", Problem, "damaged: %.0f", "the log names them; make a backup, see all that is damaged with: coordinator verify <backup>, and what it was in an older one; docs/RUNBOOK.md#amendsstoredamaged says how to go on")
	e.count(families, "dead letters", "amends_dead_letters_total", Warning, "not understood since the coordinator started: %.0f", "see them with: coordinator dead-letters list")
	e.count(families, "dropped dead letters", "amends_dead_letters_dropped_total", Warning, "not kept since the coordinator started: %.0f", "the log names the participant that sends them; docs/RUNBOOK.md (AmendsDeadLettersDropped) says what to do")
	e.count(families, "outbox", "amends_outbox_oldest_age_seconds", Problem, "the oldest message that is pending has waited for %.0f s", "the bus does not take messages: look at NATS, its disk and its limits")
	e.count(families, "bus resets", "amends_bus_resets_total", Warning, "since the coordinator started the bus may have lost what it had accepted, and everything pending was sent again: %.0f", "look at the NATS server's restarts, at its disk, and at who deletes streams")
}

// standstills tells what the coordinator says does not move.
func (e *exam) standstills(ctx context.Context) {
	const check = "standstill"
	overview, err := e.api.GetOverview(ctx, connect.NewRequest(&apiv1.GetOverviewRequest{}))
	if err != nil {
		e.add(check, Unknown, err.Error(), "give a token whose role may read")
		return
	}
	e.overview = overview.Msg
	for _, s := range overview.Msg.GetStandstills() {
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
	if len(overview.Msg.GetStandstills()) == 0 {
		e.add(check, OK, "nothing stands still", "")
	}
}

// count reports a figure that should be small.
func (e *exam) count(families map[string]*dto.MetricFamily, check, name string, grade Grade, found, fix string) {
	family, ok := families[name]
	sum := 0.0
	for _, m := range family.GetMetric() {
		sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	switch {
	case !ok && !strings.HasSuffix(name, "_total"): // counters with labels appear with their first event
		e.add(check, Unknown, "there is no figure "+name, "is the coordinator of the same release?")
	case sum < 1:
		e.add(check, OK, "none", "")
	default:
		e.add(check, grade, fmt.Sprintf(found, sum), fix)
	}
}
