package contract

import (
	"fmt"
)

// Limits on names (I10). Names are short and restricted because they become tokens of bus subjects
// and keys of stores.
const (
	// MaxNameLength bounds the name of a definition, step, participant or action.
	MaxNameLength = 64
	// MaxSagaIDLength bounds a saga's id.
	MaxSagaIDLength = 128
)

// SagaID identifies a saga. It is the caller's idempotency key: starting the same id again with the
// same input returns the existing saga. It has 1 to MaxSagaIDLength characters out of A-Z a-z 0-9 _
// - : = @. Dots, spaces and wildcards are excluded because the id is a token of a bus subject.
type SagaID string

// StepName is the name of a step in a definition. It consists of lower-case letters, digits and
// hyphens, and starts with a letter.
type StepName string

// NameError says what is wrong with a name, and what a valid name looks like.
type NameError struct {
	What string // "saga id", "step", "participant" …
	Name string // shortened to 64 characters
	Why  string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%s %q: %s", e.What, e.Name, e.Why)
}

// Check returns a *NameError unless the id is valid.
func (id SagaID) Check() error {
	const right = "use 1 to 128 characters out of A-Z a-z 0-9 _ - : = @, for example order-42"
	switch {
	case id == "":
		return &NameError{"saga id", "", "is empty; " + right}
	case len(id) > MaxSagaIDLength:
		return &NameError{"saga id", Cut(string(id), MaxNameLength), fmt.Sprintf("is %d characters long; %s", len(id), right)}
	}
	for i := range len(id) {
		if c := id[i]; !inSagaID[c] {
			return &NameError{"saga id", string(id), fmt.Sprintf("has %q at position %d; %s", c, i, right)}
		}
	}
	return nil
}

// inSagaID is a table of the bytes that a saga id may contain. A table is fast, which matters
// because the ids of all messages and records are checked.
var inSagaID = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-:=@") {
		is[c] = true
	}
	return is
}()

// CheckName returns a *NameError unless name is a valid name of a definition, step, participant or
// action. The error begins with the kind of name that is given in what, such as "step".
func CheckName(what, name string) error {
	const right = "use 1 to 64 lower-case letters, digits and hyphens, starting with a letter, for example reserve-stock"
	switch {
	case name == "":
		return &NameError{what, "", "is empty; " + right}
	case len(name) > MaxNameLength:
		return &NameError{what, Cut(name, MaxNameLength), fmt.Sprintf("is %d characters long; %s", len(name), right)}
	case name[0] < 'a' || name[0] > 'z':
		return &NameError{what, name, fmt.Sprintf("starts with %q; %s", name[0], right)}
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return &NameError{what, name, fmt.Sprintf("has %q at position %d; %s", c, i, right)}
		}
	}
	return nil
}
