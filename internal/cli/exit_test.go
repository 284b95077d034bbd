package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/log"
)

func TestExitCodes(t *testing.T) {
	refused := func(code connect.Code) error { return prefixed("list", connect.NewWireError(code, errors.New("no"))) }
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
		{fmt.Errorf("open: %w", log.ErrMissing), ExitStoreBroken, true},
		{fmt.Errorf("open: %w", log.ErrDamaged), ExitStoreBroken, true}, // such as a segment that is missing
		{fmt.Errorf("open: %w", log.ErrForeign), ExitStoreBroken, true},
		{fmt.Errorf("open: %w", log.ErrBehind), ExitStoreBroken, true},
		{fmt.Errorf("open: %w", log.ErrAhead), ExitStoreBroken, true},
		{fmt.Errorf("open: %w", boltstore.ErrRecord), ExitStoreBroken, true},
		{refused(connect.CodeUnavailable), ExitNotReachable, true},
		{refused(connect.CodeInvalidArgument), ExitUsage, false},
		{refused(connect.CodeNotFound), ExitFailed, true},
		{refused(connect.CodeResourceExhausted), ExitFailed, true},
		{refused(connect.CodeFailedPrecondition), ExitFailed, false},
		{context.DeadlineExceeded, ExitNotReachable, true},
		{outcome("completed"), ExitOK, false},
		{outcome("compensated"), ExitCompensated, false},
		{outcome("parked"), ExitParked, false},
	} {
		code, hint := exitOf(tt.err)
		if code != tt.code || (hint != "") != tt.hint {
			t.Errorf("%v: exit code %d, hint %q; want %d, hint: %v", tt.err, code, hint, tt.code, tt.hint)
		}
	}
}
