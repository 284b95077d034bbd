//go:build linux && lab

package powercut

import (
	"context"
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or directory of the mount.
type node struct {
	fs.Inode

	disk *simDisk
	file *file
}

var (
	_ fs.NodeOnAdder   = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeLinker    = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
)

// OnAdd builds the tree when the root is mounted.
func (n *node) OnAdd(ctx context.Context) {
	if !n.IsRoot() {
		return
	}
	names := n.disk.names
	paths := make([]string, 0, len(names))
	for p := range names {
		if p != "" {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths) // a directory comes before its entries
	inodes := map[*file]*fs.Inode{names[""]: n.EmbeddedInode()}
	for _, p := range paths {
		f := names[p]
		if inodes[f] == nil {
			inodes[f] = n.inode(ctx, f)
		}
		inodes[names[parent(p)]].AddChild(path.Base(p), inodes[f], true)
	}
}

func (n *node) inode(ctx context.Context, f *file) *fs.Inode {
	mode := uint32(syscall.S_IFREG)
	if f.dir {
		mode = syscall.S_IFDIR
	}
	return n.NewPersistentInode(ctx, &node{disk: n.disk, file: f}, fs.StableAttr{Mode: mode})
}

// child returns the path of a name in this directory.
func (n *node) child(name string) string {
	if here := n.Path(nil); here != "" {
		return here + "/" + name
	}
	return name
}

// Getattr implements fs.NodeGetattrer.
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.disk.isDead() {
		return syscall.EIO
	}
	n.attr(&out.Attr)
	return 0
}

func (n *node) attr(out *fuse.Attr) {
	out.Mode = n.file.mode
	out.Size = uint64(len(n.file.live))
	out.Blocks = uint64(len(n.file.used))
	out.Blksize = 4096
	out.Nlink = 1
}

// Setattr implements fs.NodeSetattrer, for sizes and modes.
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return errno
	}
	if size, ok := in.GetSize(); ok && int(size) != len(n.file.live) {
		n.file.resize(int(size))
	}
	if mode, ok := in.GetMode(); ok {
		n.file.mode = mode & 0o7777
	}
	n.attr(&out.Attr)
	return 0
}

// Open implements fs.NodeOpener.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.disk.isDead() {
		return nil, 0, syscall.EIO
	}
	if flags&syscall.O_TRUNC != 0 && len(n.file.live) > 0 {
		n.file.resize(0)
	}
	return nil, 0, 0
}

// Read implements fs.NodeReader.
func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.disk.isDead() {
		return nil, syscall.EIO
	}
	if off >= int64(len(n.file.live)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, n.file.live[off:])]), 0
}

// Write implements fs.NodeWriter.
func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return 0, errno
	}
	if errno := n.disk.write(n.file, data, off); errno != 0 {
		return 0, errno
	}
	return uint32(len(data)), 0
}

// Fsync implements fs.NodeFsyncer, for files and directories.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.disk.slow > 0 {
		n.disk.mu.Unlock()
		<-time.After(n.disk.slow)
		n.disk.mu.Lock()
	}
	if errno := n.disk.change(); errno != 0 {
		return errno
	}
	return n.disk.sync(n.file, n.Path(nil))
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, errno := n.make(ctx, name, newFile(false, mode&0o7777), out)
	return inode, nil, 0, errno
}

// Mkdir implements fs.NodeMkdirer.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.make(ctx, name, newFile(true, mode&0o7777), out)
}

func (n *node) make(ctx context.Context, name string, f *file, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return nil, errno
	}
	n.disk.files = append(n.disk.files, f)
	n.disk.name(naming{to: n.child(name), file: f})
	inode := n.inode(ctx, f)
	made := inode.Operations().(*node)
	made.attr(&out.Attr)
	return inode, 0
}

// Unlink implements fs.NodeUnlinker.
func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return errno
	}
	n.disk.name(naming{from: n.child(name)})
	return 0
}

// Rmdir implements fs.NodeRmdirer.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	if child := n.GetChild(name); child != nil && len(child.Children()) > 0 {
		return syscall.ENOTEMPTY
	}
	return n.Unlink(ctx, name)
}

// Rename implements fs.NodeRenamer.
func (n *node) Rename(_ context.Context, name string, into fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if flags != 0 {
		return syscall.EINVAL
	}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return errno
	}
	n.disk.name(naming{from: n.child(name), to: into.(*node).child(newName)})
	return 0
}

// Link implements fs.NodeLinker.
func (n *node) Link(_ context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.change(); errno != 0 {
		return nil, errno
	}
	linked := target.(*node)
	n.disk.name(naming{to: n.child(name), file: linked.file})
	linked.attr(&out.Attr)
	return linked.EmbeddedInode(), 0
}

// Statfs implements fs.NodeStatfser.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	size := int64(1 << 40)
	if n.disk.quota > 0 {
		size = n.disk.quota
	}
	free := uint64(max(0, size-n.disk.used()) / 4096)
	out.Bsize, out.Frsize, out.Blocks, out.Bfree, out.Bavail = 4096, 4096, uint64(size/4096), free, free
	out.NameLen = 255
	return 0
}
