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

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// simDisk is a disk: what is on it for good, and what is only on its way.
type simDisk struct {
	mu      sync.Mutex
	names   map[string]*file // for good, by path; the root is ""
	journal []naming         // changes of names on their way, in their order
	files   []*file          // all that have a name, or had one since the last cut

	rng    *rand.Rand
	dead   chan struct{} // closed by a cut
	armed  int           // changes until the cut; below 1: none is planned
	snare  string        // a file that gets this name cuts the power, and keeps it; "": none does
	broken int           // fsyncs until all fail; below 1: none fails
	failed bool          // fsyncs fail
	quota  int64         // bytes that fit; 0: no bound
	lie    string        // what fsync pretends: "data", "names", or nothing
	slow   time.Duration // of an fsync
	syncs  int
}

// file is a file or directory.
type file struct {
	dir   bool
	mode  uint32
	live  []byte             // what a reader sees
	kept  []byte             // what is on the disk for good
	dirty map[int64][][]byte // by sector: what was written since the last fsync, oldest first
	sizes []int              // since the last fsync
	used  map[int64]bool     // sectors that take space
}

// naming is one change of names.
type naming struct {
	from, to string // from alone: removed; to alone: made, of file
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

// isDead reports whether the power is cut. Called with mu held.
func (p *simDisk) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// change is called with mu held before anything changes; it may cut the power
// instead.
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

// used is the space taken, in bytes.
func (p *simDisk) used() (n int64) {
	for _, f := range p.files {
		n += int64(len(f.used)) * sector
	}
	return n
}

// resize truncates or extends what a reader sees.
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

// sync makes a file, or the names up to the last change in a directory, safe.
func (p *simDisk) sync(f *file, path string) syscall.Errno {
	if p.syncs++; p.broken > 0 {
		p.broken--
		p.failed = p.broken == 0
	}
	switch {
	case p.failed:
		// What was dirty is taken for clean from now on, as Linux does it: some of it
		// is on the disk, and no later fsync looks at it again.
		f.keepSome(p.rng)
		return syscall.EIO
	case f.dir && p.lie != "names":
		p.syncNames(path)
	case !f.dir && p.lie != "data":
		f.keepAll()
	}
	return 0
}

// name notes a change of names on its way, with mu held.
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

// keepNames makes the first n changes of names safe.
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

// move renames a file, or a directory with all that is in it.
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
		return "\x00" // no directory
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

// keepSome leaves a random part of what was written since the last fsync: any
// subset of the sectors, each in any version, and any of the sizes.
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

// cut is the power cut. Called with mu held.
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

// revive puts the power on again: readers see what is on the disk.
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
