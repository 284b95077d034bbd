package cli

import (
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// refusal turns the API's no into an error with its exit code and what to do next.
func refusal(remote *connect.Error) error {
	e := &exitError{code: ExitFailed, err: errors.New(remote.Message())}
	detail := detailOf(remote)
	switch remote.Code() {
	case connect.CodeInvalidArgument:
		e.code = ExitUsage
	case connect.CodeNotFound:
		e.hint = "see what there is with: coordinator list, or: coordinator definition list"
	case connect.CodeResourceExhausted:
		e.hint = "try again later, or raise the coordinator's --max-open"
		if after := detail.GetRetryAfter().AsDuration(); after > 0 {
			e.hint = fmt.Sprintf("try again after %s", after)
		}
	case connect.CodeDeadlineExceeded:
		e.code = ExitNotReachable
		e.hint = "give it more time with --timeout"
	case connect.CodeUnavailable:
		e.code = ExitNotReachable
		e.hint = "the coordinator is starting, stopping or cannot commit; coordinator healthcheck says which"
	case connect.CodeUnauthenticated:
		e.hint = "give a token with --token, AMENDS_TOKEN, or a context that names a file with one"
	case connect.CodePermissionDenied:
		e.hint = "use a token with a role that may do this"
	case connect.CodeUnimplemented:
		e.err = fmt.Errorf("the coordinator does not know this request: %s", remote.Message())
		e.hint = "coordinator version on both sides: the coordinator may be of an older release"
	}
	if legal := legalWords(detail.GetLegal()); len(legal) > 0 {
		e.hint = "legal now: " + words(legal)
	}
	return e
}

// detailOf is the typed part of an error; never nil.
func detailOf(remote *connect.Error) *apiv1.Refusal {
	for _, d := range remote.Details() {
		if v, err := d.Value(); err == nil {
			if r, ok := v.(*apiv1.Refusal); ok {
				return r
			}
		}
	}
	return &apiv1.Refusal{}
}

// legalWords writes operations as one types them: "retry --step charge".
func legalWords(operations []*apiv1.LegalOperation) []string {
	list := make([]string, 0, len(operations))
	for _, v := range operations {
		list = append(list, typed(v.GetOperation(), v.GetStep()))
	}
	return list
}

// legalNow goes behind a reason.
func legalNow(operations []*apiv1.LegalOperation) string {
	if len(operations) == 0 {
		return ""
	}
	return "; legal now: " + words(legalWords(operations))
}

// typed writes an operation as the command line takes it.
func typed(operation, step string) string {
	if step != "" {
		operation += " --step " + step
	}
	if strings.HasPrefix(operation, "resolve") {
		operation += " --outcome completed|rejected"
	}
	return operation
}
