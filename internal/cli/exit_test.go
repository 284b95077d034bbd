package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
)

func TestExitCodes(t *testing.T) {
	refused := func(code transport.Code) error { return fmt.Errorf("list: %w", &client.Error{Code: code}) }
	for _, tt := range []struct {
		err  error
		code int
		hint bool
	}{
		{nil, ExitOK, false},
		{errors.New("something"), ExitFailed, false},
		{fmt.Errorf("run the coordinator: %w", store.ErrBroken), ExitStoreBroken, true},
		{&store.CorruptError{What: "a record", Why: "its checksum is wrong"}, ExitStoreBroken, true},
		{fmt.Errorf("open: %w", boltstore.ErrDamaged), ExitStoreBroken, true},
		{refused(transport.CodeUnavailable), ExitNotReachable, true},
		{refused(transport.CodeInvalidArgument), ExitUsage, false},
		{refused(transport.CodeNotFound), ExitFailed, true},
		{refused(transport.CodeResourceExhausted), ExitFailed, true},
		{refused(transport.CodeFailedPrecondition), ExitFailed, false},
		{context.DeadlineExceeded, ExitNotReachable, true},
		{outcome(contract.Completed), ExitOK, false},
		{outcome(contract.Compensated), ExitCompensated, false},
		{outcome(contract.Parked), ExitParked, false},
	} {
		code, hint := exitOf(tt.err)
		if code != tt.code || (hint != "") != tt.hint {
			t.Errorf("%v: exit code %d, hint %q; want %d, hint: %v", tt.err, code, hint, tt.code, tt.hint)
		}
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":            "plain",
		"a\nb\x1b[m":       "a b [m",
		"much longer text": "much long…",
	} {
		if got := oneLine(in, 10); got != want {
			t.Errorf("oneLine(%q) is %q, want %q", in, got, want)
		}
	}
}
