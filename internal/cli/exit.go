package cli

import (
	"context"
	"errors"

	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/log"
)

// The exit codes of all commands. They are part of the public interface.
const (
	ExitOK           = 0 // success
	ExitFailed       = 1 // refused or failed, with the reason on stderr; also if there was no room for the output
	ExitUsage        = 2 // the command line or the configuration is invalid
	ExitStoreBroken  = 3 // the store is damaged or cannot be written: check the disk, because a restart may not help
	ExitNotReachable = 4 // no coordinator returned a complete answer in time
	ExitCompensated  = 5 // wait, start --wait: the saga was compensated
	ExitParked       = 6 // wait, start --wait: the saga waits for an operator or was abandoned
	ExitOwned        = 7 // serve: another store owns the prefix
)

// exitError carries an exit code, and a hint about what to do next.
type exitError struct {
	code int
	hint string // may be ""
	err  error  // nil if there is nothing to print

	unsent bool // whether the request reached no coordinator
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitOf returns the exit code and the hint for an error.
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
		return ExitOwned, "a restart does not help; see docs/OPERATING.md#one-store-one-owner"
	case errors.As(err, &taken):
		return ExitFailed, taken.Fix()
	case errors.Is(err, store.ErrBroken) && server.FullDisk(err), errors.Is(err, server.ErrDisk) && !server.FailedDisk(err):
		return ExitStoreBroken, "no acknowledged data is lost; make room on the disk of the data directory, or move the directory to a larger disk, then start again"
	case errors.Is(err, store.ErrBroken), errors.Is(err, server.ErrDisk):
		return ExitStoreBroken, "no acknowledged data is lost; check the disk's space and health, then start again, or restore a backup with: coordinator restore <file>"
	case errors.Is(err, log.ErrMissing), errors.Is(err, log.ErrDamaged), errors.Is(err, log.ErrForeign),
		errors.Is(err, log.ErrBehind), errors.Is(err, log.ErrAhead):
		return ExitStoreBroken, "see docs/RUNBOOK.md#the-store-does-not-open"
	case errors.Is(err, boltstore.ErrRecord):
		return ExitStoreBroken, "see docs/RUNBOOK.md#a-record-that-cannot-be-applied"
	case errors.Is(err, store.ErrCorrupt), errors.Is(err, boltstore.ErrDamaged):
		return ExitStoreBroken, "restore a backup with: coordinator restore <file>"
	case errors.Is(err, context.DeadlineExceeded):
		return ExitNotReachable, "try again, or allow more time with --timeout"
	case server.FullDisk(err):
		return ExitFailed, "make room on the disk and try again; no partial file was left behind"
	default:
		return ExitFailed, ""
	}
}

// outcome returns nil for a completed saga. Otherwise it returns an error without text, which only
// carries the exit code, because the output already shows the phase.
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
