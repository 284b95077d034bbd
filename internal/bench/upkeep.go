package bench

import (
	"context"
	"io"
	"time"

	"github.com/amends-dev/amends/store/boltstore"
)

// Upkeep says what the store does beside commits.
type Upkeep string

// The kinds of upkeep. The ratio of the latencies with UpkeepAll and UpkeepNone is what upkeep costs.
const (
	// UpkeepUsual means checkpoints, as serve writes them by default.
	UpkeepUsual Upkeep = "usual"
	// UpkeepNone means that no checkpoint is written during the measurement.
	UpkeepNone Upkeep = "none"
	// UpkeepAll means checkpoints, a backup every second, and that sagas are removed a second after their end.
	UpkeepAll Upkeep = "all"
)

// store returns the options of the store.
func (u Upkeep) store() boltstore.Options {
	if u == UpkeepNone {
		return boltstore.Options{CheckpointSize: 1 << 40, CheckpointAge: 24 * time.Hour}
	}
	return boltstore.Options{}
}

// retention returns how long ended sagas are kept; 0 means the default.
func (u Upkeep) retention() time.Duration {
	if u == UpkeepAll {
		return time.Second
	}
	return 0
}

// backups takes a backup every second until ctx ends.
func (w *world) backups(ctx context.Context) error {
	for ctx.Err() == nil {
		if _, err := w.store.Backup(ctx, io.Discard); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}
