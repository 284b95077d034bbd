package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// operate submits an operator's decision, and answers once the decision is committed.
func (s *service) operate(_ context.Context, c call, q *api.OperateRequest, answer func(*api.Saga, error)) {
	d := &q.Decision
	err := q.ID.Check()
	if err == nil {
		err = checkDecision(d)
	}
	if err == nil {
		err = s.submit(work{
			input:   s.c.stamped(Input{Saga: q.ID, Expected: q.ExpectedRevision, Event: s.operated(d)}),
			request: c.Envelope,
			reply:   func(r Result) { answer(outcome(&r, true)) },
		})
	}
	if err != nil {
		answer(nil, err)
	}
}

// checkDecision refuses a decision that cannot be stored in a history or published. It does not
// check whether the saga allows the decision; machine.Decide does.
func checkDecision(op *api.Decision) error {
	var wrong violations
	if op.Operation == "" {
		wrong.add("decision", "has no operation; set the fields operation, by and reason")
	}
	wrong.decision(op)
	return wrong.err()
}

// decision checks the fields of a decision.
func (v *violations) decision(op *api.Decision) {
	const prefix = "decision."
	for _, field := range [...]struct {
		name, value string
		most        int
	}{
		{"by", op.By, contract.MaxReason},
		{"reason", op.Reason, contract.MaxReason},
		{"operation", string(op.Operation), contract.MaxNameLength},
		{"result", string(op.Result), contract.MaxPayload},
	} {
		if len(field.value) > field.most {
			v.add(prefix+field.name, fmt.Sprintf("is %d bytes long; at most %d are allowed", len(field.value), field.most))
		}
	}
	if len(op.Result) > 0 && len(op.Result) <= contract.MaxPayload {
		if err := contract.CheckJSON(op.Result); err != nil {
			v.add(prefix+"result", "is not valid JSON: "+err.Error())
		}
	}
	if op.Step != "" {
		if err := contract.CheckName("step", string(op.Step)); err != nil {
			v.add(prefix+"step", err.Error())
		}
	}
	switch op.Outcome {
	case "", contract.OutcomeCompleted, contract.OutcomeRejected, contract.OutcomeFailed:
	default:
		v.add(prefix+"outcome", fmt.Sprintf("%q is not an outcome; use completed or rejected", brief(string(op.Outcome))))
	}
}

// operated returns the event for a decision.
func (s *service) operated(op *api.Decision) machine.Event {
	return machine.Event{
		Type: contract.EventOperationTaken, At: s.c.config.Clock(), Operation: op.Operation, Step: op.Step,
		By: op.By, Reason: op.Reason, Outcome: op.Outcome, Payload: op.Result,
	}
}

// Limits for decisions about many sagas (I10).
const (
	// bulkPage bounds the sagas that one bulk request decides about.
	bulkPage = 100
	// bulkRetry is the interval at which a decision is offered again to a full inbox.
	bulkRetry = 5 * time.Millisecond
	// bulkClass is the prefix of the inbox classes for bulk decisions. It cannot clash with a
	// participant, whose name has no slash.
	bulkClass = "bulk/"
)

// allOperations lists all operations.
var allOperations = []contract.Operation{
	contract.OperationCancel, contract.OperationRetry, contract.OperationResolve, contract.OperationSkip,
	contract.OperationCompensate, contract.OperationAbandon, contract.OperationPause, contract.OperationResume,
}

// operatePage submits one decision about each saga on one page of a filter's matches. A decision
// does not change the order of the list. So a caller that reads page by page reaches every saga
// that matched at the beginning exactly once.
func (s *service) operatePage(ctx context.Context, c call, q *api.OperatePageRequest) (*api.OperatePageResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	f, err := s.filter(&q.Filter)
	if err != nil {
		return nil, err
	}
	if err := checkBulk(q); err != nil {
		return nil, err
	}
	if q.Cursor == "" && q.MaxMatches > 0 {
		if err := s.checkMatches(ctx, &f, q.MaxMatches); err != nil {
			return nil, err
		}
	}
	found, next, err := s.c.config.Store.List(ctx, f, store.Page{Limit: bulkPage, Cursor: q.Cursor})
	if err != nil {
		return nil, err
	}
	out := &api.OperatePageResponse{Matched: len(found), NextCursor: next}
	decide := s.decideAll
	if q.DryRun {
		decide = s.tryAll
	}
	for i, err := range decide(ctx, c.Caller, found, &q.Decision) {
		if err == nil {
			out.Done++
			continue
		}
		refused := api.RefusedSaga{ID: found[i].ID, Reason: brief(reason(err))}
		if operation, ok := errors.AsType[*machine.OperationError](err); ok {
			refused.Legal = operation.Legal
		}
		out.Refusals = append(out.Refusals, refused)
	}
	return out, nil
}

// checkBulk refuses a request that would fail for every saga, or that would match every saga.
func checkBulk(q *api.OperatePageRequest) error {
	var wrong violations
	if reflect.ValueOf(q.Filter).IsZero() {
		wrong.add("filter", "is empty, which would match every saga; set at least one field, such as open: true")
	}
	d := &q.Decision
	if !slices.Contains(allOperations, d.Operation) {
		wrong.add("decision.operation", fmt.Sprintf("%q is not an operation; use cancel, retry, resolve, skip, compensate, abandon, pause or resume", brief(string(d.Operation))))
	}
	if d.By == "" || d.Reason == "" {
		wrong.add("decision", "by and reason are required: both become part of the history")
	}
	wrong.decision(d)
	if q.MaxMatches < 0 {
		wrong.add("maxMatches", "is negative; give the number that a dry run showed, or 0 for no limit")
	}
	return wrong.err()
}

// tooManyError refuses a decision that matches more sagas than the operator allows.
type tooManyError struct {
	matched, allowed int
	atLeast          bool // whether there may be more than matched
}

func (e *tooManyError) Error() string {
	if e.atLeast {
		return fmt.Sprintf("the number of sagas that match cannot be compared with maxMatches, %d: after %s the count was stopped; narrow the filter, for example by its definition or its start", e.allowed, plural.Of(e.matched, "match", "matches"))
	}
	return fmt.Sprintf("%s now, more than maxMatches (%d): repeat the dry run before you decide", plural.Of(e.matched, "saga matches", "sagas match"), e.allowed)
}

func (s *service) checkMatches(ctx context.Context, f *store.Filter, allowed int) error {
	counts, atLeast, err := s.countSagas(ctx, f)
	if err != nil {
		return err
	}
	matched := 0
	for _, n := range counts {
		matched += n.Sagas
	}
	if matched > allowed || atLeast {
		return &tooManyError{matched, allowed, atLeast && matched <= allowed}
	}
	return nil
}

// tryAll returns the error that a decision would have for each saga, without submitting it. It runs
// machine.Decide, which is pure, and discards the result.
func (s *service) tryAll(ctx context.Context, _ string, found []store.Summary, op *api.Decision) []error {
	errs := make([]error, len(found))
	for i := range found {
		errs[i] = s.try(ctx, found[i].ID, op)
	}
	return errs
}

func (s *service) try(ctx context.Context, id contract.SagaID, op *api.Decision) error {
	in, err := s.c.config.Store.Load(ctx, id)
	if err != nil {
		return err
	}
	def, err := s.c.definitions.find(in.Definition)
	if err != nil {
		return err
	}
	_, _, err = machine.Decide(def.Plan(), *in, s.operated(op))
	return err
}

// decideAll submits a caller's decision about each saga, and waits until all are committed or
// refused. The decisions are committed in shared batches.
func (s *service) decideAll(ctx context.Context, caller string, found []store.Summary, op *api.Decision) []error {
	errs := make([]error, len(found))
	type outcome struct {
		i   int
		err error
	}
	outcomes := make(chan outcome, len(found))
	waiting := 0
	for i := range found {
		w := work{
			input: s.c.stamped(Input{Saga: found[i].ID, Event: s.operated(op)}), class: bulkClass + caller,
			reply: func(r Result) {
				err := r.Err
				if err == nil && r.Ignored != "" {
					err = &ignoredError{r.Ignored}
				}
				outcomes <- outcome{i, err}
			},
		}
		if errs[i] = s.insist(ctx, w); errs[i] == nil {
			errs[i] = errNoAnswer
			waiting++
		}
	}
	for range waiting {
		select {
		case o := <-outcomes:
			errs[o.i] = o.err
		case <-ctx.Done():
			return errs
		}
	}
	return errs
}

// errNoAnswer is the error for a decision whose result did not arrive in time.
var errNoAnswer = errors.New("the decision may or may not have been taken; read the saga's history")

// insist offers work to its shard until there is room.
func (s *service) insist(ctx context.Context, w work) error {
	for {
		taken, open := s.c.offer(w)
		switch {
		case taken:
			return nil
		case !open:
			return errStopping
		}
		select {
		case <-ctx.Done():
			return errors.New("the coordinator's input queue is full (MaxWaiting); retry in a moment")
		case <-time.After(bulkRetry):
		}
	}
}

// removeDamaged replaces a saga whose record is damaged with a tombstone, because a damaged saga
// can neither make progress nor accept a decision.
func (s *service) removeDamaged(ctx context.Context, q *api.RemoveDamagedRequest) (*api.RemoveDamagedResponse, error) {
	id := q.ID
	if err := id.Check(); err != nil {
		return nil, err
	}
	if err := checkRemoval(q); err != nil {
		return nil, err
	}
	removal := store.Removal{At: s.c.config.Clock(), By: contract.Cut(q.By, contract.MaxReason), Reason: contract.Cut(q.Reason, contract.MaxReason)}
	removed, err := s.c.config.Store.RemoveDamaged(ctx, id, removal)
	if err != nil {
		return nil, err
	}
	s.c.relay.Supersede(removed.Discarded)
	s.c.projection.Removed(id, removed.Open)
	s.c.timekeeper.done(id)
	status, err := s.saga(ctx, id)
	if err != nil { // the saga is removed even if its status cannot be read
		status = &api.Saga{ID: id, Phase: contract.PhaseParked, Removed: true, Problem: problem(err.Error()),
			Removal: &api.Removal{At: removal.At, By: removal.By, Reason: removal.Reason}}
	}
	s.c.config.Logger.Warn("a damaged saga was removed; the effects of its steps remain at the participants",
		slog.String(LogSaga, string(id)), slog.String(LogBy, removal.By), slog.String(LogReason, removal.Reason), slog.Int("dropped", len(removed.Discarded)))
	return &api.RemoveDamagedResponse{Saga: status}, nil
}

// checkRemoval refuses a removal that names no operator or no reason, because both are recorded.
func checkRemoval(q *api.RemoveDamagedRequest) error {
	var wrong violations
	for _, field := range [...]struct{ name, value string }{{"by", q.By}, {"reason", q.Reason}} {
		switch {
		case field.value == "":
			wrong.add(field.name, "is required, because it is recorded in the saga's tombstone")
		case len(field.value) > contract.MaxReason:
			wrong.add(field.name, fmt.Sprintf("is %d bytes long; at most %d are allowed", len(field.value), contract.MaxReason))
		}
	}
	return wrong.err()
}
