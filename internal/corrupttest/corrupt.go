package corrupttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

// Saga flips one bit in the state of the saga sick, in the file of a store that no process has
// open. It tries one position after the other until sick is damaged and the saga well is not.
func Saga(ctx context.Context, path string, sick, well contract.SagaID) error {
	sound, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for at := 0; ; at++ {
		found := bytes.Index(sound[at:], []byte(sick))
		if found < 0 {
			return fmt.Errorf("the state of saga %s is not found in %s", sick, path)
		}
		at += found
		data, bit := bytes.Clone(sound), at+len(sick)+12 // after the key and the checksums
		if bit >= len(data) {
			continue
		}
		data[bit] ^= 4
		if err := os.WriteFile(path, data, 0o600); err != nil { //nolint:gosec // the path is a test's
			return err
		}
		if hit, err := onlyHit(ctx, path, sick, well); err != nil || hit {
			return err
		}
	}
}

// onlyHit reports whether the saga sick is damaged and the saga well is not.
func onlyHit(ctx context.Context, path string, sick, well contract.SagaID) (bool, error) {
	s, err := boltstore.Open(path, boltstore.Options{MapSize: 1})
	switch {
	case errors.Is(err, boltstore.ErrDamaged), errors.Is(err, store.ErrCorrupt):
		return false, nil // more than one saga was hit: try the next position
	case err != nil:
		return false, err
	}
	_, sickErr := s.Load(ctx, sick)
	_, wellErr := s.Load(ctx, well)
	return errors.Is(sickErr, store.ErrCorrupt) && wellErr == nil, s.Close()
}
