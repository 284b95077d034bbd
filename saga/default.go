package saga

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// DefaultRetry returns the retry policy of an action if neither the action nor its definition sets
// one:
//
//	compensable do     3 attempts, first wait 1s, longest 30s
//	pivot do           5 attempts, first wait 1s, longest 30s
//	retriable do      20 attempts, first wait 1s, longest 1m
//	every undo        20 attempts, first wait 1s, longest 1m
//
// A compensable step fails early because the saga can compensate. A retriable step and an undo must
// complete, so they are retried for long before they wait for an operator. Defaults are applied
// when a definition is used; its data stays as the author wrote it.
func DefaultRetry(kind contract.Kind, dir contract.Direction) RetryPolicy {
	second, minute := Duration(time.Second), Duration(time.Minute)
	switch {
	case dir == contract.DirectionUndo, kind == contract.KindRetriable:
		return RetryPolicy{Attempts: 20, InitialInterval: second, MaxInterval: minute}
	case kind == contract.KindPivot:
		return RetryPolicy{Attempts: 5, InitialInterval: second, MaxInterval: 30 * second}
	default:
		return RetryPolicy{Attempts: 3, InitialInterval: second, MaxInterval: 30 * second}
	}
}

// orElse returns p with its zero fields taken from other. A default maximum interval is never below
// an initial interval that is set.
func (p RetryPolicy) orElse(other RetryPolicy) RetryPolicy {
	if p.Attempts == 0 {
		p.Attempts = other.Attempts
	}
	if p.InitialInterval == 0 {
		p.InitialInterval = other.InitialInterval
	}
	if p.MaxInterval == 0 {
		p.MaxInterval = other.MaxInterval
	}
	return p
}

// withDefaults returns the action with its timeout and retry policy filled in: from the action,
// then from the definition, then from the defaults of kind and direction.
func (a Action) withDefaults(spec *Spec, kind contract.Kind, dir contract.Direction) Action {
	if a.Timeout == 0 {
		a.Timeout = spec.Timeout
	}
	if a.Timeout == 0 {
		a.Timeout = Duration(DefaultTimeout)
	}
	wanted := a.Retry.orElse(spec.Retry)
	policy := wanted.orElse(DefaultRetry(kind, dir))
	if wanted.MaxInterval == 0 {
		policy.MaxInterval = max(policy.MaxInterval, policy.InitialInterval)
	}
	if wanted.InitialInterval == 0 {
		policy.InitialInterval = min(policy.InitialInterval, policy.MaxInterval)
	}
	a.Retry = policy
	return a
}
