package boltinbox

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
)

// Keys calls yield for every step that took effect, whatever the participant. It passes the
// idempotency key of the do (after compensation, the key of the undo) and the time when the inbox
// entry was last updated. The command coordinator orphans uses it. An error of yield ends the
// iteration. Keys skips damaged entries and returns them as *DamageError at the end.
func (i *Inbox) Keys(yield func(key contract.Key, recorded time.Time) error) error {
	var damaged error
	err := i.db.View(func(tx *bbolt.Tx) error {
		root := tx.Bucket(rootBucket)
		if root == nil || root.Bucket(entryBucket) == nil {
			return nil
		}
		return root.Bucket(entryBucket).ForEach(func(k, v []byte) error {
			entry, err := decode(v)
			if err == nil && entry.Do.Outcome == participant.Claimed {
				return nil // the special entry that holds the newest claim
			}
			step, wrong := parseEntryKey(k)
			err = cmp.Or(err, wrong)
			if err != nil {
				if damaged == nil {
					damaged = &DamageError{Key: step, Err: err}
				}
				return nil
			}
			if entry.Do.Outcome != contract.OutcomeCompleted {
				return nil
			}
			key := contract.Key{Saga: step.Saga, Birth: step.Birth, Step: step.Step, Direction: contract.DirectionDo}
			if entry.Undo.Outcome == contract.OutcomeCompleted {
				key.Direction = contract.DirectionUndo
			}
			return yield(key, entry.Updated)
		})
	})
	if err == nil {
		err = damaged
	}
	return err
}

// parseEntryKey is the inverse of entryKey.
func parseEntryKey(k []byte) (key participant.StepKey, err error) {
	name, rest, found := bytes.Cut(k, []byte("/"))
	if !found {
		return key, fmt.Errorf("its key %.300q has no slash after the participant name", k)
	}
	step, err := contract.ParseKey(string(rest) + "/" + string(contract.DirectionDo))
	return participant.StepKey{Participant: string(name), Saga: step.Saga, Birth: step.Birth, Step: step.Step}, err
}
