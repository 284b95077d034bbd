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
	// Keep is the number of spares up to which released segments are recycled; further ones are
	// removed. 0 means DefaultKeep. Who releases many segments at a time sets it to that number.
	Keep int

	disk  disk // nil means the file system
	still bool // for tests: do not run the keeper in the background
}

// Defaults and bounds of Options.
const (
	DefaultSegmentSize = 8 << 20
	MinSegmentSize     = 4 << 10
	MaxSegmentSize     = 1 << 30
	DefaultSpares      = 2
	DefaultKeep        = 8
	MaxSpares          = 64
)

func (o Options) withDefaults(dir string) (Options, error) {
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.Spares == 0 {
		o.Spares = DefaultSpares
	}
	if o.Keep == 0 {
		o.Keep = max(DefaultKeep, o.Spares)
	}
	if o.SegmentSize < MinSegmentSize || o.SegmentSize > MaxSegmentSize ||
		o.Spares < 1 || o.Spares > MaxSpares || o.Keep < o.Spares || o.Keep > MaxSpares {
		return o, fmt.Errorf("options: SegmentSize %d must be %d to %d, Spares %d must be 1 to %d, and Keep %d must be %d to %d",
			o.SegmentSize, MinSegmentSize, MaxSegmentSize, o.Spares, MaxSpares, o.Keep, o.Spares, MaxSpares)
	}
	if o.disk == nil {
		o.disk = directory(dir)
	}
	return o, nil
}
