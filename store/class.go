package store

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Class is the key by which lists of sagas are indexed. It is the phase of a saga, except that
// abandoned sagas, whose phase is parked, have their own class. The numbers are stored and must
// never change.
type Class uint8

// The classes.
const (
	ClassRunning      Class = 1
	ClassCompensating Class = 2
	ClassParked       Class = 3
	ClassAbandoned    Class = 4
	ClassCompleted    Class = 5
	ClassCompensated  Class = 6
)

// Classes lists all classes, with the open ones first.
var Classes = []Class{ClassRunning, ClassCompensating, ClassParked, ClassAbandoned, ClassCompleted, ClassCompensated}

// ClassOf returns the class of a state. It returns an error if the phase is unknown or contradicts
// Ended: running and compensating sagas are open, completed and compensated ones are not.
func ClassOf(in *machine.Instance) (Class, error) {
	open := in.Open()
	switch {
	case in.Phase == contract.PhaseRunning && open:
		return ClassRunning, nil
	case in.Phase == contract.PhaseCompensating && open:
		return ClassCompensating, nil
	case in.Phase == contract.PhaseParked && open:
		return ClassParked, nil
	case in.Phase == contract.PhaseParked:
		return ClassAbandoned, nil
	case in.Phase == contract.PhaseCompleted && !open:
		return ClassCompleted, nil
	case in.Phase == contract.PhaseCompensated && !open:
		return ClassCompensated, nil
	}
	return 0, fmt.Errorf("phase %q with ended %t is not a valid state of a saga", in.Phase, !open)
}

// Phase returns the phase of the class, or "" if the class is unknown.
func (c Class) Phase() contract.Phase {
	switch c {
	case ClassRunning:
		return contract.PhaseRunning
	case ClassCompensating:
		return contract.PhaseCompensating
	case ClassParked, ClassAbandoned:
		return contract.PhaseParked
	case ClassCompleted:
		return contract.PhaseCompleted
	case ClassCompensated:
		return contract.PhaseCompensated
	}
	return ""
}

// Open reports whether sagas of this class are open, that is, have not ended.
func (c Class) Open() bool { return c >= ClassRunning && c <= ClassParked }
