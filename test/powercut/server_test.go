//go:build linux && lab

package powercut

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// serveDisk runs the process of the disk. It executes one command per line, and answers each with
// "ok" or "error …". It prints "cut" when the power is cut. When its input ends, it unmounts the
// disk and ends.
func serveDisk() error {
	d := &mounted{simDisk: newSimDisk()}
	defer func() { _ = d.unmount() }()
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		if err := d.obey(orders.Text()); err != nil {
			d.say("error " + err.Error())
			continue
		}
		d.say("ok")
	}
	return orders.Err()
}

// mounted is a disk and its mount.
type mounted struct {
	*simDisk

	fuse *fuse.Server
	dir  string
	talk sync.Mutex
}

func (d *mounted) say(line string) {
	d.talk.Lock()
	defer d.talk.Unlock()
	fmt.Println(line)
}

// obey executes a command, which has a name and one value.
func (d *mounted) obey(order string) error {
	name, value, _ := strings.Cut(order, " ")
	var n int64
	switch name {
	case "mount":
		return d.mount(value)
	case "unmount":
		return d.unmount()
	case "lie", "snare":
	default:
		if _, err := fmt.Sscan(value, &n); err != nil {
			return fmt.Errorf("order %q: %w", order, err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch name {
	case "lie":
		d.lie = value
	case "snare": // cut the power as soon as a file gets this name, and keep the name
		d.snare = value
	case "seed":
		d.rng = rngOf(uint64(n), "disk")
	case "arm": // cut the power instead of the n-th change from now; 0 cuts at once
		if d.armed = int(n); n == 0 {
			d.cut()
		}
	case "break": // fail the n-th fsync from now and all later ones
		d.broken = int(n)
	case "room": // limit the free space in bytes; below 0 there is no limit
		if d.quota = 0; n >= 0 {
			d.quota = d.used() + n
		}
	case "slow": // duration of an fsync in milliseconds
		d.slow = time.Duration(n) * time.Millisecond
	default:
		return fmt.Errorf("there is no order %q", name)
	}
	return nil
}

// mount mounts the disk at a directory, with the data that is durable.
func (d *mounted) mount(dir string) error {
	d.revive()
	second := time.Second
	options := &fs.Options{EntryTimeout: &second, AttrTimeout: &second}
	options.DirectMountStrict = true // without the fusermount program
	options.FsName = "powercut"
	options.MaxWrite = 1 << 20
	mounted, err := fs.Mount(dir, &node{disk: d.simDisk, file: d.names[""]}, options)
	if err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	d.fuse, d.dir = mounted, dir
	dead := d.dead
	go func() {
		<-dead
		d.say("cut")
	}()
	return nil
}

// unmount unmounts the disk and drops everything that the kernel has cached.
func (d *mounted) unmount() error {
	if d.fuse == nil {
		return nil
	}
	if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", d.dir, err)
	}
	d.fuse.Wait()
	d.fuse = nil
	return nil
}
