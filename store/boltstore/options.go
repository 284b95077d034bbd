package boltstore

import (
	"fmt"
	"time"
)

// Options of a store. The zero value means the defaults.
type Options struct {
	// MaxGroup bounds the changes that are gathered into one write to disk;
	// 0: DefaultMaxGroup. A single call with more is not cut.
	MaxGroup int
	// LockTimeout is how long Open waits for another process to let go of the
	// file; 0: one second.
	LockTimeout time.Duration
	// MapSize is the address space set aside for the file, in bytes; 0: 16 GiB on
	// Linux, what the system gives elsewhere. It costs no memory. A file that
	// outgrows it waits for readers (backups) at every growth.
	MapSize int
	// MaxSize bounds the file in bytes; 0: no bound. A commit that would exceed it
	// breaks the store, as a full disk does.
	MaxSize int
	// MinFree is the free disk space below which Check complains, in bytes;
	// 0: DefaultMinFree; below 0: never.
	MinFree int64
	// CheckLimit is the size of file, in bytes, up to which Open looks at the
	// structure of every page, so that damage is found before it spreads;
	// 0: DefaultCheckLimit; below 0: never. It reads the file once.
	CheckLimit int64
	// AcceptDamagedRoot opens a file of which one of the two root pages is
	// damaged. The newest commits may be missing then, although they were
	// acknowledged; without it such a file is refused.
	AcceptDamagedRoot bool
	// Keys seal and open what people said: see LoadKeys. A file that is not sealed, or a
	// record in it, is refused then: Copy seals a store that there is. nil: nothing is
	// sealed, and a sealed file is refused with ErrKey.
	Keys *Keys
	// OnCorrupt is told of every damaged record that is passed over, with a
	// *store.CorruptError. It may be called from several goroutines and must not
	// block or call the store; nil: damage is only counted (Stats.Damaged).
	OnCorrupt func(error)
	// Now is the clock for the time of creation; nil: time.Now.
	Now func() time.Time

	readOnly bool // of OpenReadOnly
}

// Defaults of Options.
const (
	DefaultMaxGroup = 4096
	DefaultMinFree  = 128 << 20
	// DefaultCheckLimit is four gigabytes, some seconds of reading.
	DefaultCheckLimit = 4 << 30
)

// Bounds of the store's own making (I10).
const (
	// MaxQueue bounds the calls that wait for the next write; further callers wait
	// to be let in.
	MaxQueue = 4096
	// MaxUndiscarded bounds the settled records that wait for the next write; at the
	// bound they are written without waiting for a commit.
	MaxUndiscarded = 4096
	// sweepAt is how many records of owed are removed together.
	sweepAt = 2048
	// owedBatch is how many records Owed reads in one transaction.
	owedBatch = 256
	// owedBytes is how many bytes of data end a batch of Owed early.
	owedBytes = 8 << 20
	// scanLimit bounds the index entries that one List call looks at.
	scanLimit = 20_000
	// loadLimit bounds the states that one List call loads and does not return.
	loadLimit = 500
	// prefixLimit bounds the sagas that List sorts itself when an id prefix is
	// given; beyond it the index is scanned.
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
