package log

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

// sector is the number of bytes that a power cut leaves either all old or all new.
const sector = 512

// memDisk is an in-memory disk whose power a test can cut. After a cut, each unsynced sector is old or
// new at random; of the unsynced changes of names, a random number of the first ones are kept. After a sync
// that failed, the sectors count as synced, as on Linux: only what is written again is synced by the next one.
type memDisk struct {
	mu     sync.Mutex
	names  map[string]*memFile // as seen by processes
	kept   map[string]*memFile // as on disk
	moves  []func(map[string]*memFile)
	room   int        // how many more files can be created; negative means no limit
	fuse   int        // operations until the process is killed; negative means never
	rand   *rand.Rand // decides what is lost
	refuse func(op string) error
}

type memFile struct {
	d           *memDisk
	seen, saved []byte
	dirty       map[int]bool // the sectors that were written since the last sync
}

// killed is the value of the panic that ends a process.
type killed struct{}

func newMemDisk(seed uint64) *memDisk {
	return &memDisk{names: map[string]*memFile{}, kept: map[string]*memFile{}, room: -1, fuse: -1, rand: rand.New(rand.NewPCG(seed, 1))}
}

// op counts an operation. It kills the process when the fuse has run down.
func (d *memDisk) op(name string) error {
	if d.fuse == 0 {
		panic(killed{})
	}
	d.fuse--
	if d.refuse != nil {
		return d.refuse(name)
	}
	return nil
}

func (d *memDisk) move(f func(map[string]*memFile)) {
	f(d.names)
	d.moves = append(d.moves, f)
}

func (d *memDisk) list() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.names)), nil
}

func (d *memDisk) view(name string) (segmentView, error) { return d.file(name) }

func (d *memDisk) open(name string) (segmentFile, error) {
	if d.refuse != nil {
		if err := d.refuse("open"); err != nil {
			return nil, err
		}
	}
	return d.file(name)
}

func (d *memDisk) file(name string) (segmentFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil, fmt.Errorf("file %s does not exist", name)
	}
	return f, nil
}

func (d *memDisk) create(name string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("create"); err != nil {
		return err
	}
	if d.room == 0 {
		return syscall.ENOSPC
	}
	d.room--
	f := &memFile{d: d, seen: make([]byte, size), saved: make([]byte, size), dirty: map[int]bool{}}
	d.move(func(names map[string]*memFile) { names[name] = f })
	return nil
}

func (d *memDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("rename"); err != nil {
		return err
	}
	d.move(func(names map[string]*memFile) { names[to] = names[from]; delete(names, from) })
	return nil
}

func (d *memDisk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("remove"); err != nil {
		return err
	}
	d.move(func(names map[string]*memFile) { delete(names, name) })
	return nil
}

func (d *memDisk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("sync directory"); err != nil {
		return err
	}
	d.kept, d.moves = maps.Clone(d.names), nil
	return nil
}

// cut cuts the power.
func (d *memDisk) cut() {
	for _, m := range d.moves[:d.rand.IntN(len(d.moves)+1)] {
		m(d.kept)
	}
	d.names, d.moves = maps.Clone(d.kept), nil
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		f := d.names[name]
		for _, n := range slices.Sorted(maps.Keys(f.dirty)) {
			if d.rand.IntN(2) == 0 {
				f.save(n)
			}
		}
		f.seen, f.dirty = slices.Clone(f.saved), map[int]bool{}
	}
}

func (f *memFile) ReadAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if n := copy(b, f.seen[min(at, int64(len(f.seen))):]); n < len(b) {
		return n, errors.New("read past the end of the file")
	}
	return len(b), nil
}

// WriteAt writes all of b, or a random prefix if the process is killed during the write.
func (f *memFile) WriteAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if at+int64(len(b)) > int64(len(f.seen)) {
		return 0, fmt.Errorf("writing %d bytes at offset %d would extend a file of %d bytes", len(b), at, len(f.seen))
	}
	if f.d.fuse == 0 {
		f.soil(at, copy(f.seen[at:], b[:f.d.rand.IntN(len(b)+1)]))
	}
	if err := f.d.op("write"); err != nil {
		return 0, err
	}
	f.soil(at, len(b))
	return copy(f.seen[at:], b), nil
}

// soil marks the sectors of n bytes as written.
func (f *memFile) soil(at int64, n int) {
	for s := int(at) / sector; s*sector < int(at)+n; s++ {
		f.dirty[s] = true
	}
}

// save makes a sector durable.
func (f *memFile) save(n int) {
	end := min((n+1)*sector, len(f.seen))
	copy(f.saved[n*sector:end], f.seen[n*sector:end])
}

func (f *memFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	dirty := f.dirty
	if f.d.fuse != 0 {
		f.dirty = map[int]bool{}
	}
	if err := f.d.op("sync"); err != nil {
		return err
	}
	for n := range dirty {
		f.save(n)
	}
	return nil
}

func (f *memFile) Size() (int64, error) { return int64(len(f.seen)), nil }
func (f *memFile) Close() error         { return nil }
