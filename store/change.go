package store

import (
	"errors"
	"fmt"
)

// ErrInvalid is returned for a change that contradicts itself, so that no store can commit it.
var ErrInvalid = errors.New("not a valid change")

// Check returns an error that wraps ErrInvalid unless the change is consistent. Every store calls
// it before it reads anything.
func (c *Change) Check() error {
	in := c.Instance
	switch {
	case in == nil:
		return fmt.Errorf("%w: it has no instance", ErrInvalid)
	case in.ID.Check() != nil:
		return fmt.Errorf("%w: %w", ErrInvalid, in.ID.Check())
	case len(c.Events) == 0:
		return fmt.Errorf("%w of saga %s: it has no events; every change must contain at least one", ErrInvalid, in.ID)
	case in.Revision != c.Expected+uint64(len(c.Events)):
		return fmt.Errorf("%w of saga %s: revision %d is not %d (expected) + %d (events)",
			ErrInvalid, in.ID, in.Revision, c.Expected, len(c.Events))
	}
	if _, err := ClassOf(in); err != nil {
		return fmt.Errorf("%w of saga %s: %w", ErrInvalid, in.ID, err)
	}
	for i := range c.Enqueue {
		id := c.Enqueue[i].ID
		if id.Saga != in.ID || id.Birth != in.Birth() || id.Revision <= c.Expected || id.Revision > in.Revision {
			return fmt.Errorf("%w of saga %s: record %s is not enqueued by revisions %d to %d of the one born %s",
				ErrInvalid, in.ID, id, c.Expected+1, in.Revision, in.Birth())
		}
		for j := range i {
			if c.Enqueue[j].ID == id {
				return fmt.Errorf("%w of saga %s: record %s is pending twice", ErrInvalid, in.ID, id)
			}
		}
	}
	return nil
}
