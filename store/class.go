package store

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// Class is what a list is cut by: the phase, with parked sagas that wait told
// apart from abandoned ones. The numbers are stored; they never change.
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

// Classes are all classes, the open ones first.
var Classes = []Class{ClassRunning, ClassCompensating, ClassParked, ClassAbandoned, ClassCompleted, ClassCompensated}

// ClassOf is the class of a state. An unknown phase is an error, and so is one
// that does not fit Ended: running and going back are open, completed and
// compensated are not.
func ClassOf(in *machine.Instance) (Class, error) {
	open := in.Open()
	switch {
	case in.Phase == contract.Running && open:
		return ClassRunning, nil
	case in.Phase == contract.Compensating && open:
		return ClassCompensating, nil
	case in.Phase == contract.Parked && open:
		return ClassParked, nil
	case in.Phase == contract.Parked:
		return ClassAbandoned, nil
	case in.Phase == contract.Completed && !open:
		return ClassCompleted, nil
	case in.Phase == contract.Compensated && !open:
		return ClassCompensated, nil
	}
	return 0, fmt.Errorf("phase %q with ended %t is no place where a saga can stand", in.Phase, !open)
}

// Phase is the phase that the class belongs to; "" for a number that is none.
func (c Class) Phase() contract.Phase {
	switch c {
	case ClassRunning:
		return contract.Running
	case ClassCompensating:
		return contract.Compensating
	case ClassParked, ClassAbandoned:
		return contract.Parked
	case ClassCompleted:
		return contract.Completed
	case ClassCompensated:
		return contract.Compensated
	}
	return ""
}

// Open reports whether sagas of this class have not ended.
func (c Class) Open() bool { return c >= ClassRunning && c <= ClassParked }
