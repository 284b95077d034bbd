package saga

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// DefaultRetry is the retry policy of an action that says nothing else, neither
// itself nor through its definition:
//
//	compensable do     3 attempts, first wait 1s, longest 30s
//	pivot do           5 attempts, first wait 1s, longest 30s
//	retriable do      20 attempts, first wait 1s, longest 1m
//	every undo        20 attempts, first wait 1s, longest 1m
//
// A compensable step gives up early because the saga can go back; a retriable
// step and an undo have no other way than to succeed, so they try for long
// before they ask for an operator. Defaults are applied when a definition is
// used; its data stays as the author wrote it.
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

// orElse fills the fields that are zero from other. A cap that was not written
// never undercuts the first wait that was.
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

// withDefaults is the action with its timeout and retry policy filled in: its
// own values, then the definition's, then the defaults of kind and direction.
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
