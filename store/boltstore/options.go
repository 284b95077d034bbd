package boltstore

import (
	"cmp"
	"fmt"
	"time"

	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/seal"
)

// Options configure a store. The zero value means the defaults.
type Options struct {
	// MaxGroup bounds the changes that one record of the log combines; 0 means DefaultMaxGroup. A call
	// with more changes is not split.
	MaxGroup int
	// CheckpointSize is the size, in bytes, of the overlay, or of the log since the last checkpoint, at
	// which a checkpoint begins; 0 means DefaultCheckpointSize. At twice the size, commits wait; while
	// the disk is full, at four times the size. It bounds the store's memory and the work of the next start.
	CheckpointSize int64
	// CheckpointAge is the age of the oldest change that only the log holds at which a checkpoint
	// begins; 0 means DefaultCheckpointAge.
	CheckpointAge time.Duration
	// Log configures the log. Log.Keep is set by the store.
	Log log.Options
	// LockTimeout is how long Open waits for another process to unlock the file; 0 means one second.
	LockTimeout time.Duration
	// MapSize is the address space reserved for the file, in bytes; 0 means 16 GiB on Linux and the
	// system's default elsewhere. The reservation uses no memory. Once the file is larger, it can only
	// grow while there are no readers, such as backups.
	MapSize int
	// MaxSize bounds the file in bytes; 0 means no bound. At the bound, the store waits, as it does for
	// room on a full disk.
	MaxSize int
	// MinFree is the free disk space, in bytes, below which Check fails; 0 means DefaultMinFree. A
	// negative value disables the check.
	MinFree int64
	// CheckLimit is the file size, in bytes, up to which Open checks the structure of every page, so
	// that damage is found before it spreads. The check reads the whole file once. 0 means
	// DefaultCheckLimit; a negative value disables the check.
	CheckLimit int64
	// Keys encrypt business data (see seal.LoadKeys). With keys, Open refuses a store that is not
	// sealed. If nil, nothing is sealed and Open refuses a sealed store with seal.ErrKey.
	Keys *seal.Keys
	// OnCorrupt is called with an error for all damage that is found and skipped. It may be called from
	// several goroutines and must not block or call the store. If nil, damage is only counted
	// (Stats.Damaged).
	OnCorrupt func(error)
	// Now returns the current time, which a new store records as its time of creation; nil means
	// time.Now.
	Now func() time.Time

	manual       bool          // for tests: only write the checkpoints that are asked for
	pieceSagas   int           // for tests: sagas in one piece of a checkpoint; 0 means maxPieceSagas
	backupGrowth int64         // for tests: see Backup; 0 means a gigabyte
	backupWait   time.Duration // for tests: see Backup; 0 means ten seconds
	backupCheck  time.Duration // for tests: how often both are checked; 0 means a second
	step         func(string)  // for tests: called between the steps of commits and checkpoints
	unsynced     bool          // for tests: do not sync the state file
	readOnly     bool          // set by Verify
}

// Defaults of Options.
const (
	DefaultMaxGroup       = 4096
	DefaultCheckpointSize = 32 << 20
	DefaultCheckpointAge  = 10 * time.Second
	DefaultMinFree        = 128 << 20
	// DefaultCheckLimit is 4 GiB, which takes some seconds to read.
	DefaultCheckLimit = 4 << 30
)

// Bounds that cannot be configured (I10).
const (
	// MaxQueue bounds the calls in the queue of the committer; further callers block.
	MaxQueue = 4096
	// MaxDiscarded bounds the discarded messages that are not in the log yet. At the bound, Discard
	// waits until they are.
	MaxDiscarded = 4096
	// maxGroupBytes is the size of the changes, in bytes, at which a record takes no more requests.
	maxGroupBytes = 8 << 20
	// discardDelay is how long discards wait for a record that takes them along.
	discardDelay = time.Second
	// checkpointCheck is how often the age of the oldest change is checked.
	checkpointCheck = time.Second
	// waitLimit is how long commits may wait for a checkpoint before Check fails.
	waitLimit = 5 * time.Second
	// fullRetry is how often a full disk is tried again.
	fullRetry = time.Second
	// waitFactor is the size of the overlay, or of the log since the last checkpoint, in multiples of
	// CheckpointSize, at which commits wait for a checkpoint. While the disk has no room for one, it
	// is fullFactor: the difference is a reserve for the sagas that were started.
	waitFactor, fullFactor = 2, 4
	// maxPieceSagas and pieceBytes bound one transaction of a checkpoint; the last saga may exceed the bytes.
	maxPieceSagas = 512
	pieceBytes    = 2 << 20
	// pendingBatch is the number of messages that Pending reads in one window.
	pendingBatch = 256
	// pendingBytes is the number of bytes after which Pending ends a batch early.
	pendingBytes = 8 << 20
	// scanLimit bounds the index entries that one List call reads.
	scanLimit = 20_000
	// loadLimit bounds the states that one List call loads although they do not match.
	loadLimit = 500
	// prefixLimit is the number of sagas with an id prefix up to which List sorts them in memory. If
	// more sagas match, List scans the index.
	prefixLimit = 1000
	// unfindableLimit is the size of a file, in bytes, up to which rows with damaged keys are removed.
	unfindableLimit = 64 << 20
	// expireSlice bounds the sagas that one record of Expire removes.
	expireSlice = 200
)

func (o Options) withDefaults() (Options, error) {
	if o.MaxGroup < 0 || o.CheckpointSize < 0 || o.CheckpointAge < 0 || o.LockTimeout < 0 || o.MapSize < 0 || o.MaxSize < 0 {
		return o, fmt.Errorf("options: MaxGroup %d, CheckpointSize %d, CheckpointAge %s, LockTimeout %s, MapSize %d and "+
			"MaxSize %d must not be negative", o.MaxGroup, o.CheckpointSize, o.CheckpointAge, o.LockTimeout, o.MapSize, o.MaxSize)
	}
	o.MaxGroup = cmp.Or(o.MaxGroup, DefaultMaxGroup)
	o.CheckpointSize = cmp.Or(o.CheckpointSize, DefaultCheckpointSize)
	o.CheckpointAge = cmp.Or(o.CheckpointAge, DefaultCheckpointAge)
	o.LockTimeout = cmp.Or(o.LockTimeout, time.Second)
	o.MapSize = cmp.Or(o.MapSize, boltfile.DefaultMapSize)
	o.MinFree = cmp.Or(o.MinFree, DefaultMinFree)
	o.CheckLimit = cmp.Or(o.CheckLimit, DefaultCheckLimit)
	o.pieceSagas = cmp.Or(o.pieceSagas, maxPieceSagas)
	o.backupGrowth = cmp.Or(o.backupGrowth, 1<<30)
	o.backupWait = cmp.Or(o.backupWait, 10*time.Second)
	o.backupCheck = cmp.Or(o.backupCheck, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	return o, nil
}
