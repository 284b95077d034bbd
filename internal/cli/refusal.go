package cli

import (
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// refusal converts an error of the API to an error with an exit code and a hint.
func refusal(remote *connect.Error) error {
	e := &exitError{code: ExitFailed, err: errors.New(remote.Message())}
	detail := detailOf(remote)
	switch remote.Code() {
	case connect.CodeInvalidArgument:
		e.code = ExitUsage
	case connect.CodeNotFound:
		e.hint = "list what exists with: coordinator list, or: coordinator definition list"
	case connect.CodeResourceExhausted:
		e.hint = "try again later, or raise the coordinator's --max-open"
		if after := detail.GetRetryAfter().AsDuration(); after > 0 {
			e.hint = fmt.Sprintf("try again after %s", after)
		}
	case connect.CodeDeadlineExceeded:
		e.code = ExitNotReachable
		e.hint = "allow more time with --timeout"
	case connect.CodeUnavailable:
		e.code = ExitNotReachable
		e.hint = "the coordinator is starting, stopping or cannot commit; see which with: coordinator healthcheck"
	case connect.CodeUnauthenticated:
		e.hint = "give a token with --token, AMENDS_TOKEN or the token file of a context"
	case connect.CodePermissionDenied:
		e.hint = "use a token whose role permits this"
	case connect.CodeUnimplemented:
		e.err = fmt.Errorf("the coordinator does not support this request: %s", remote.Message())
		e.hint = "the coordinator may be an older release; compare the output of: coordinator version, on both sides"
	}
	if legal := legalWords(detail.GetLegal()); len(legal) > 0 {
		e.hint = "legal now: " + words(legal)
	}
	return e
}

// detailOf returns the typed part of an error. The result is never nil.
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

// legalWords formats operations as they are typed, such as "retry --step charge".
func legalWords(operations []*apiv1.LegalOperation) []string {
	list := make([]string, 0, len(operations))
	for _, v := range operations {
		list = append(list, typed(v.GetOperation(), v.GetStep()))
	}
	return list
}

// legalNow formats the legal operations as the end of a message.
func legalNow(operations []*apiv1.LegalOperation) string {
	if len(operations) == 0 {
		return ""
	}
	return "; legal now: " + words(legalWords(operations))
}

// typed formats an operation as the command line accepts it.
func typed(operation, step string) string {
	if step != "" {
		operation += " --step " + step
	}
	if strings.HasPrefix(operation, "resolve") {
		operation += " --outcome completed|rejected"
	}
	return operation
}
