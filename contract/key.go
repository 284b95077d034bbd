package contract

import (
	"fmt"
	"strings"
)

// Key is the idempotency key of one direction of one step of one saga. It is the same for all
// attempts, and different for a later saga with the same id.
type Key struct {
	Saga      SagaID
	Birth     Birth
	Step      StepName
	Direction Direction
}

// String returns saga/birth/step/direction, as on the wire. None of the parts contains a slash.
func (k Key) String() string {
	return string(k.Saga) + "/" + k.Birth.String() + "/" + string(k.Step) + "/" + string(k.Direction)
}

// Check returns a *NameError unless every part of the key is valid.
func (k Key) Check() error {
	if err := k.Saga.Check(); err != nil {
		return err
	}
	if k.Birth <= 0 {
		return &NameError{"birth", k.Birth.String(), "is missing; copy it from the command"}
	}
	if err := CheckName("step", string(k.Step)); err != nil {
		return err
	}
	return k.Direction.Check()
}

// ParseKey is the inverse of String. Each key has exactly one spelling. For any other text, the
// error says what is wrong.
func ParseKey(text string) (k Key, err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 4 {
		return k, fmt.Errorf("key %q: a key has 4 parts, saga/birth/step/direction, such as order-42/%s/charge-card/do, and this one has %d", Cut(text, MaxNameLength), exampleBirth, len(parts))
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
