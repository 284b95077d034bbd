package boltstore

import (
	"fmt"
	"time"

	"github.com/amends-dev/amends/store/seal"
)

// Options configure a store. The zero value means the defaults.
type Options struct {
	// MaxGroup bounds the changes that one transaction combines; 0 means DefaultMaxGroup. A call
	// with more changes is not split.
	MaxGroup int
	// LockTimeout is how long Open waits for another process to unlock the file; 0 means one
	// second.
	LockTimeout time.Duration
	// MapSize is the address space reserved for the file, in bytes; 0 means 16 GiB on Linux and
	// the system's default elsewhere. The reservation uses no memory. Once the file is larger, it
	// can only grow while there are no readers, such as backups.
	MapSize int
	// MaxSize bounds the file in bytes; 0 means no bound. A commit that would exceed it breaks the
	// store, as a full disk does.
	MaxSize int
	// MinFree is the free disk space, in bytes, below which Check fails; 0 means DefaultMinFree. A
	// negative value disables the check.
	MinFree int64
	// CheckLimit is the file size, in bytes, up to which Open checks the structure of every page,
	// so that damage is found before it spreads. The check reads the whole file once. 0 means
	// DefaultCheckLimit; a negative value disables the check.
	CheckLimit int64
	// AcceptDamagedRoot makes Open accept a file although one of its two root pages is damaged. The
	// newest confirmed commits may then be missing. If false, Open refuses such a file.
	AcceptDamagedRoot bool
	// Keys encrypt business data (see seal.LoadKeys). With keys, Open refuses a file that is not sealed,
	// and reads refuse an unsealed record; Copy seals an existing store. If nil, nothing is sealed
	// and Open refuses a sealed file with seal.ErrKey.
	Keys *seal.Keys
	// OnCorrupt is called with a *store.CorruptError for every damaged record that is skipped. It
	// may be called from several goroutines and must not block or call the store. If nil, damage
	// is only counted (Stats.Damaged).
	OnCorrupt func(error)
	// Now returns the current time, which a new file records as its time of creation; nil means
	// time.Now.
	Now func() time.Time

	readOnly bool // set by OpenReadOnly
}

// Defaults of Options.
const (
	DefaultMaxGroup = 4096
	DefaultMinFree  = 128 << 20
	// DefaultCheckLimit is 4 GiB, which takes some seconds to read.
	DefaultCheckLimit = 4 << 30
)

// Bounds that cannot be configured (I10).
const (
	// MaxQueue bounds the calls in the queue of the committer; further callers block.
	MaxQueue = 4096
	// MaxUndiscarded bounds the discarded records that are not on disk yet. At the bound, Discard
	// writes them without waiting for a commit.
	MaxUndiscarded = 4096
	// sweepAt is the number of discarded outbox records at which they are deleted together.
	sweepAt = 2048
	// owedBatch is the number of records that Pending reads in one transaction.
	owedBatch = 256
	// owedBytes is the number of bytes after which Pending ends a batch early.
	owedBytes = 8 << 20
	// scanLimit bounds the index entries that one List call reads.
	scanLimit = 20_000
	// loadLimit bounds the states that one List call loads although they do not match.
	loadLimit = 500
	// prefixLimit is the number of sagas with an id prefix up to which List sorts them in memory.
	// If more sagas match, List scans the index.
	prefixLimit = 1000
	// expireSlice bounds the sagas that one transaction of Expire removes.
	expireSlice = 200
)

func (o Options) withDefaults() (Options, error) {
	if o.MaxGroup < 0 || o.LockTimeout < 0 || o.MapSize < 0 || o.MaxSize < 0 {
		return o, fmt.Errorf("options: MaxGroup %d, LockTimeout %s, MapSize %d and MaxSize %d must not be negative",
			o.MaxGroup, o.LockTimeout, o.MapSize, o.MaxSize)
	}
	if o.MaxGroup == 0 {
		o.MaxGroup = DefaultMaxGroup
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	if o.MapSize == 0 {
		o.MapSize = defaultMapSize
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.CheckLimit == 0 {
		o.CheckLimit = DefaultCheckLimit
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}
