package log

import "fmt"

// Options configure a log. The zero value means the defaults.
type Options struct {
	// SegmentSize is the size of new segments in bytes; 0 means DefaultSegmentSize. A record that does
	// not fit into one segment is split across several.
	SegmentSize int64
	// Spares is the number of segments to preallocate, in addition to the last one, which stays
	// unused; 0 means DefaultSpares. They also let appends continue for a while on a full disk.
	Spares int

	disk  disk // nil means the file system
	still bool // for tests: do not run the keeper in the background
}

// Defaults and bounds of Options.
const (
	DefaultSegmentSize = 8 << 20
	MinSegmentSize     = 4 << 10
	MaxSegmentSize     = 1 << 30
	DefaultSpares      = 2
	MaxSpares          = 64
)

func (o Options) withDefaults(dir string) (Options, error) {
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.Spares == 0 {
		o.Spares = DefaultSpares
	}
	if o.SegmentSize < MinSegmentSize || o.SegmentSize > MaxSegmentSize || o.Spares < 1 || o.Spares > MaxSpares {
		return o, fmt.Errorf("options: SegmentSize %d must be %d to %d, and Spares %d must be 1 to %d",
			o.SegmentSize, MinSegmentSize, MaxSegmentSize, o.Spares, MaxSpares)
	}
	if o.disk == nil {
		o.disk = directory(dir)
	}
	return o, nil
}
