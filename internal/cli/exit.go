package cli

import (
	"context"
	"errors"

	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

// The exit codes of every command. They are part of the interface.
const (
	ExitOK           = 0 // done
	ExitFailed       = 1 // refused or failed; stderr says why. Also: what the command writes finds no room
	ExitUsage        = 2 // the command line or the configuration is wrong
	ExitStoreBroken  = 3 // the store is damaged or cannot be written: look at the disk, restarting may not help
	ExitNotReachable = 4 // no coordinator answered, in time and to the end
	ExitCompensated  = 5 // wait, start --wait: the saga went back
	ExitParked       = 6 // wait, start --wait: the saga waits for an operator, or was abandoned
	ExitOwned        = 7 // serve: the prefix belongs to another store
)

// exitError carries an exit code, and a line that says what to do next.
type exitError struct {
	code int
	hint string // "": none
	err  error  // nil: nothing to print

	unsent bool // no coordinator has seen the request
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitOf gives the exit code of an error and the line that says what to do next.
func exitOf(err error) (code int, hint string) {
	var known *exitError
	var owned *ownership.NotOwnerError
	var taken *server.ListenError
	switch {
	case err == nil:
		return ExitOK, ""
	case errors.As(err, &known):
		return known.code, known.hint
	case errors.As(err, &owned):
		return ExitOwned, "restarting does not help: docs/OPERATING.md#one-store-one-owner"
	case errors.As(err, &taken):
		return ExitFailed, taken.Fix()
	case errors.Is(err, store.ErrBroken) && server.FullDisk(err), errors.Is(err, server.ErrDisk) && !server.FailedDisk(err):
		return ExitStoreBroken, "nothing that was acknowledged is lost; make room on the disk of the data directory, or move it to a larger one, then start again"
	case errors.Is(err, store.ErrBroken), errors.Is(err, server.ErrDisk):
		return ExitStoreBroken, "nothing that was acknowledged is lost; check the disk's space and health, then start again, or restore a backup with: coordinator restore <file>"
	case errors.Is(err, store.ErrCorrupt), errors.Is(err, boltstore.ErrDamaged):
		return ExitStoreBroken, "restore a backup with: coordinator restore <file>"
	case errors.Is(err, context.DeadlineExceeded):
		return ExitNotReachable, "give it more time with --timeout"
	case server.FullDisk(err):
		return ExitFailed, "make room there, then try again; nothing half-written is left"
	default:
		return ExitFailed, ""
	}
}

// outcome is nil for a saga that completed, and otherwise an error without text
// that carries the exit code: scripts ask for it, people have read the status.
func outcome(phase string) error {
	switch phase {
	case "compensated":
		return &exitError{code: ExitCompensated}
	case "parked":
		return &exitError{code: ExitParked}
	default:
		return nil
	}
}
