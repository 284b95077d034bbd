package contract

import (
	"fmt"
	"strings"
)

// Key is the idempotency key of one direction of one step of one saga: the same for all
// attempts, and never that of a later saga with the same id.
type Key struct {
	Saga      SagaID
	Birth     Birth
	Step      StepName
	Direction Direction
}

// String is saga/birth/step/direction, as on the wire; none of them has a slash.
func (k Key) String() string {
	return string(k.Saga) + "/" + k.Birth.String() + "/" + string(k.Step) + "/" + string(k.Direction)
}

// Check returns a *NameError unless every part of the key is right.
func (k Key) Check() error {
	if err := k.Saga.Check(); err != nil {
		return err
	}
	if k.Birth <= 0 {
		return &NameError{"birth", k.Birth.String(), "is missing; use it as the command has it"}
	}
	if err := CheckName("step", string(k.Step)); err != nil {
		return err
	}
	return k.Direction.Check()
}

// ParseKey reads what String wrote. There is one spelling of each key; anything else is
// an error that says what is wrong.
func ParseKey(text string) (k Key, err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 4 {
		return k, fmt.Errorf("key %q: a key has 4 parts, saga/birth/step/direction, such as order-42/%s/charge-card/do, and this one has %d", shortened(text), exampleBirth, len(parts))
	}
	if k.Birth, err = ParseBirth(parts[1]); err != nil {
		return Key{}, err
	}
	k.Saga, k.Step, k.Direction = SagaID(parts[0]), StepName(parts[2]), Direction(parts[3])
	if err := k.Check(); err != nil {
		return Key{}, err
	}
	return k, nil
}
