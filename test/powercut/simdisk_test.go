//go:build linux && lab

package powercut

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sector is the number of bytes that a disk writes atomically.
const sector = 512

// simDisk is a disk. It distinguishes durable data from data that is not yet durable.
type simDisk struct {
	mu      sync.Mutex
	names   map[string]*file // durable names, by path; the root is ""
	journal []naming         // name changes that are not durable, in order
	files   []*file          // all files that have a name, or had one since the last cut

	rng    *rand.Rand
	dead   chan struct{} // closed by a cut
	armed  int           // changes until the cut; below 1 no cut is planned
	snare  string        // name that causes a cut when a file gets it; the file keeps it; "" for none
	broken int           // fsyncs until all fail; below 1 none fails
	failed bool          // fsyncs fail
	quota  int64         // capacity in bytes; 0 is unlimited
	lie    string        // "data" or "names" if fsync only pretends to make them durable, or ""
	slow   time.Duration // duration of an fsync
	syncs  int
}

// file is a file or directory.
type file struct {
	dir   bool
	mode  uint32
	live  []byte             // content that a reader sees
	kept  []byte             // durable content
	dirty map[int64][][]byte // keyed by sector: versions written since the last fsync, oldest first
	sizes []int              // since the last fsync
	used  map[int64]bool     // sectors that take up space
}

// naming is one change of a name.
type naming struct {
	from, to string // only from: removed; only to: created, with file
	file     *file
}

func newSimDisk() *simDisk {
	p := &simDisk{names: map[string]*file{}, rng: rngOf(0, "disk"), dead: make(chan struct{})}
	p.names[""] = &file{dir: true, mode: 0o700}
	return p
}

func newFile(dir bool, mode uint32) *file {
	return &file{dir: dir, mode: mode, dirty: map[int64][][]byte{}, used: map[int64]bool{}}
}

// isDead reports whether the power is cut. The caller must hold mu.
func (p *simDisk) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// change must be called before any change, with mu held. It may cut the power instead.
func (p *simDisk) change() syscall.Errno {
	if p.isDead() {
		return syscall.EIO
	}
	if p.armed > 0 {
		if p.armed--; p.armed == 0 {
			p.cut()
			return syscall.EIO
		}
	}
	return 0
}

func (p *simDisk) write(f *file, data []byte, off int64) syscall.Errno {
	end := off + int64(len(data))
	if p.quota > 0 {
		need := p.used()
		for s := off / sector; s*sector < end; s++ {
			if !f.used[s] {
				need += sector
			}
		}
		if need > p.quota {
			return syscall.ENOSPC
		}
	}
	if int64(len(f.live)) < end {
		f.resize(int(end))
	}
	copy(f.live[off:], data)
	for s := off / sector; s*sector < end; s++ {
		f.used[s] = true
		f.dirty[s] = append(f.dirty[s], bytes.Clone(f.live[s*sector:min((s+1)*sector, int64(len(f.live)))]))
	}
	return 0
}

// used returns the space in use, in bytes.
func (p *simDisk) used() (n int64) {
	for _, f := range p.files {
		n += int64(len(f.used)) * sector
	}
	return n
}

// resize truncates or extends the content that a reader sees.
func (f *file) resize(size int) {
	f.live = stretch(f.live, size)
	f.sizes = append(f.sizes, size)
	maps.DeleteFunc(f.used, func(s int64, _ bool) bool { return s*sector >= int64(size) })
	maps.DeleteFunc(f.dirty, func(s int64, _ [][]byte) bool { return s*sector >= int64(size) })
}

func stretch(b []byte, size int) []byte {
	if size <= len(b) {
		clear(b[size:])
		return b[:size]
	}
	return append(b, make([]byte, size-len(b))...)
}

// sync makes a file durable, or all name changes up to the last one in a directory.
func (p *simDisk) sync(f *file, path string) syscall.Errno {
	if p.syncs++; p.broken > 0 {
		p.broken--
		p.failed = p.broken == 0
	}
	switch {
	case p.failed:
		// As in Linux, dirty pages count as clean after a failed fsync. Some of them are on the
		// disk, and no later fsync writes the others.
		f.keepSome(p.rng)
		return syscall.EIO
	case f.dir && p.lie != "names":
		p.syncNames(path)
	case !f.dir && p.lie != "data":
		f.keepAll()
	}
	return 0
}

// name records a name change that is not durable. The caller must hold mu.
func (p *simDisk) name(n naming) {
	p.journal = append(p.journal, n)
	if p.snare != "" && strings.HasSuffix("/"+n.to, "/"+p.snare) {
		p.snare = ""
		p.keepNames(len(p.journal))
		p.cut()
	}
}

func (p *simDisk) syncNames(dir string) {
	last := -1
	for i, n := range p.journal {
		if parent(n.from) == dir || parent(n.to) == dir {
			last = i
		}
	}
	p.keepNames(last + 1)
}

// keepNames makes the first n name changes durable.
func (p *simDisk) keepNames(n int) {
	for _, change := range p.journal[:n] {
		switch {
		case change.from == "":
			p.names[change.to] = change.file
		case change.to == "":
			delete(p.names, change.from)
		default:
			p.move(change.from, change.to)
		}
	}
	p.journal = slices.Clone(p.journal[n:])
}

// move renames a file, or a directory with everything in it.
func (p *simDisk) move(from, to string) {
	moved := map[string]*file{}
	for path, f := range p.names {
		if rest, below := strings.CutPrefix(path, from); below && (rest == "" || rest[0] == '/') {
			moved[to+rest] = f
			delete(p.names, path)
		}
	}
	maps.Copy(p.names, moved)
}

func parent(path string) string {
	if path == "" {
		return "\x00" // not a directory
	}
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}

func (f *file) keepAll() {
	f.kept = stretch(f.kept, len(f.live))
	for s := range f.dirty {
		copy(f.kept[s*sector:], f.live[s*sector:min((s+1)*sector, int64(len(f.live)))])
	}
	clear(f.dirty)
	f.sizes = nil
}

// keepSome keeps a random part of what was written since the last fsync: any subset of the sectors,
// each in any version, and any of the sizes.
func (f *file) keepSome(rng *rand.Rand) {
	if n := rng.IntN(len(f.sizes) + 1); n > 0 {
		f.kept = stretch(f.kept, f.sizes[n-1])
	}
	share := []float64{0, 0.1, 0.5, 0.9, 1}[rng.IntN(5)]
	for _, s := range slices.Sorted(maps.Keys(f.dirty)) {
		versions := f.dirty[s]
		if rng.Float64() < share && s*sector < int64(len(f.kept)) {
			copy(f.kept[s*sector:], versions[rng.IntN(len(versions))])
		}
	}
	clear(f.dirty)
	f.sizes = nil
}

// cut cuts the power. The caller must hold mu.
func (p *simDisk) cut() {
	if p.isDead() {
		return
	}
	for _, f := range p.files {
		f.keepSome(p.rng)
	}

	p.keepNames(p.rng.IntN(len(p.journal) + 1))
	close(p.dead)
}

// revive restores the power. Readers then see the durable data.
func (p *simDisk) revive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isDead() {
		p.cut()
	}
	p.dead, p.armed, p.broken, p.failed, p.journal, p.files = make(chan struct{}), 0, 0, false, nil, nil
	for path, f := range p.names {
		if path != "" && p.names[parent(path)] == nil {
			delete(p.names, path)
		}
		f.live, f.sizes = bytes.Clone(f.kept), nil
		if !slices.Contains(p.files, f) {
			p.files = append(p.files, f)
		}
		for s := range f.used {
			if s*sector >= int64(len(f.kept)) {
				delete(f.used, s)
			}
		}
	}
	slices.SortFunc(p.files, func(a, b *file) int { return len(a.kept) - len(b.kept) })
}
