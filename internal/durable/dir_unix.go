//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// dir is the descriptor of a directory.
type dir struct{ fd int }

const openDirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

// retry does a system call until no signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// OpenFile is os.OpenFile for regular files and directories, which no poller waits
// for: it does not try, which saves most of an opening's system calls.
func OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Open(name, flag|unix.O_CLOEXEC, uint32(mode.Perm()))
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// letGo closes a descriptor that nothing was written through.
func letGo(fd int) { _ = unix.Close(fd) }

// OpenDir opens the directory that a path leads to.
func OpenDir(path string) (*Dir, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, openDirFlags, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return newDir(fd, path)
}

// newDir takes a descriptor, and closes it where it is of no use.
func newDir(fd int, path string) (*Dir, error) {
	d := &Dir{dir: dir{fd}, path: path}
	var err error
	if d.info, err = d.Stat(); err != nil {
		letGo(fd)
		return nil, err
	}
	return d, nil
}

// Close lets go of the directory.
func (d *Dir) Close() error { return unix.Close(d.fd) }

// Stat says what the directory itself is now.
func (d *Dir) Stat() (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(d.fd, &st) }); err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: d.path, Err: err}
	}
	return infoOf(&st), nil
}

// identity is of one file alone, for as long as it is there.
type identity struct{ dev, ino uint64 }

func (i identity) same(other identity) bool { return i == other }

// stat says what a path leads to.
func stat(path string) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(path, &st) }); err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return infoOf(&st), nil
}

//nolint:unconvert // the types differ by system
func infoOf(st *unix.Stat_t) Info {
	mode := fs.FileMode(st.Mode & 0o777)
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	if st.Mode&sticky != 0 {
		mode |= fs.ModeSticky
	}
	return Info{Mode: mode, Size: st.Size, UID: int(st.Uid), GID: int(st.Gid), id: identity{uint64(st.Dev), uint64(st.Ino)}}
}

// in does something in the directory that a name is in, with the last component of it.
func (d *Dir) in(op, name string, do func(up int, base string) error) error {
	up, base := d.fd, name
	for {
		first, rest, more := strings.Cut(base, "/")
		var err error
		if first == "" || first == "." || first == ".." {
			err = unix.EINVAL
		}
		if err == nil && !more {
			err = retry(func() error { return do(up, first) })
		}
		below := -1
		if err == nil && more {
			err = retry(func() (err error) {
				below, err = unix.Openat(up, first, openDirFlags|unix.O_NOFOLLOW, 0)
				return err
			})
		}
		if up != d.fd {
			letGo(up)
		}
		if err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
		if !more {
			return nil
		}
		up, base = below, rest
	}
}

// device names the file system of a directory.
func (d *Dir) device() (device uint64, ok bool) { return d.info.id.dev, true }

// file is the directory, opened once more.
func (d *Dir) file() (*os.File, error) {
	fd, err := unix.Openat(d.fd, ".", openDirFlags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	return os.NewFile(uintptr(fd), d.path), nil
}

// mayWrite tells whether the modes of a directory, and its file system, let this process
// make names in it.
func (d *Dir) mayWrite() bool {
	return unix.Faccessat(d.fd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil
}

// Open opens a directory in it.
func (d *Dir) Open(name string) (*Dir, error) {
	fd := -1
	err := d.in("open", name, func(up int, base string) (err error) {
		fd, err = unix.Openat(up, base, openDirFlags|unix.O_NOFOLLOW, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newDir(fd, filepath.Join(d.path, name))
}

// OpenFile opens a file, or makes it; what is not a file is not waited for.
func (d *Dir) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	fd, err := d.openFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, name)), nil
}

func (d *Dir) openFile(name string, flag int, mode fs.FileMode) (fd int, err error) {
	err = d.in("open", name, func(up int, base string) (err error) {
		fd, err = unix.Openat(up, base, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode.Perm()))
		return err
	})
	return fd, err
}

// ReadFile reads a regular file, of at most so many bytes, that trust accepts, if that
// is not nil. Nobody is waited for who made it a pipe.
func (d *Dir) ReadFile(name string, most int64, trust func(Info) error) ([]byte, Info, error) {
	fd, err := d.openFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, Info{}, err
	}
	defer letGo(fd)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, Info{}, err
	}
	info := infoOf(&st)
	data, err := readWhole(info, most, trust, func(p []byte) (n int, err error) {
		err = retry(func() (err error) {
			n, err = unix.Read(fd, p)
			return err
		})
		return n, err
	})
	return data, info, err
}

// Lstat says what stands under a name.
func (d *Dir) Lstat(name string) (Info, error) {
	var st unix.Stat_t
	if err := d.in("lstat", name, func(up int, base string) error { return unix.Fstatat(up, base, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return Info{}, err
	}
	return infoOf(&st), nil
}

// Readlink gives what a link says.
func (d *Dir) Readlink(name string) (target string, err error) {
	var most [256]byte
	for to := most[:]; ; to = make([]byte, 4*len(to)) {
		var n int
		err := d.in("readlink", name, func(up int, base string) (err error) {
			n, err = unix.Readlinkat(up, base, to)
			return err
		})
		if err != nil {
			return "", err
		}
		if n < len(to) {
			return string(to[:n]), nil
		}
	}
}

// Symlink makes a link.
func (d *Dir) Symlink(target, name string) error {
	return d.in("symlink", name, func(up int, base string) error { return unix.Symlinkat(target, up, base) })
}

// Link gives a file a second name.
func (d *Dir) Link(old, name string) error {
	return d.both("link", old, name, func(from int, was string, to int, is string) error { return unix.Linkat(from, was, to, is, 0) })
}

// Rename gives what is there another name, in the place of what has it.
func (d *Dir) Rename(old, name string) error {
	return d.both("rename", old, name, unix.Renameat)
}

func (d *Dir) both(op, old, name string, do func(from int, was string, to int, is string) error) error {
	return d.in(op, old, func(from int, was string) error {
		err := d.in(op, name, func(to int, is string) error { return do(from, was, to, is) })
		return bare(err)
	})
}

// Remove takes a name away: a file's, a link's, or an empty directory's.
func (d *Dir) Remove(name string) error {
	return d.in("remove", name, func(up int, base string) error {
		err := unix.Unlinkat(up, base, 0)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return err
		}
		if directory := unix.Unlinkat(up, base, unix.AT_REMOVEDIR); !errors.Is(directory, unix.ENOTDIR) {
			return directory
		}
		return err
	})
}

// RemoveAll takes a name away with all that is below it.
func (d *Dir) RemoveAll(name string) error {
	err := d.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	below, opened := d.Open(name)
	if opened != nil {
		return err
	}
	defer below.Close()
	names, err := below.Names()
	for _, n := range names {
		err = errors.Join(err, below.RemoveAll(n))
	}
	if err != nil {
		return err
	}
	if err = d.Remove(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Mkdir makes a directory in it, with that mode whatever the umask, and opens it. For a
// process of root's, another's that was put in its place is refused.
func (d *Dir) Mkdir(name string, mode fs.FileMode) (*Dir, error) {
	err := d.in("mkdir", name, func(up int, base string) error { return unix.Mkdirat(up, base, uint32(mode.Perm())) })
	if err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: filepath.Join(d.path, name), Err: bare(err)}
	}
	below, err := d.Open(name)
	if err == nil {
		if err = below.settle(mode); err == nil {
			return below, nil
		}
		err = errors.Join(err, below.Close())
	}
	return nil, errors.Join(err, d.Remove(name))
}

// settle gives a directory that was just made its mode, which the umask may have cut
// below what readers need; a mode of zero leaves it. As root, another's is refused: it
// was put in the place of ours.
func (d *Dir) settle(mode fs.FileMode) error {
	if os.Geteuid() == 0 && d.info.UID != 0 {
		return &UntrustedError{filepath.Clean(d.path), "was replaced while it was made"}
	}
	if mode == 0 {
		return nil
	}
	if d.info.Mode.Perm() == mode {
		d.uncut = mode
		return nil
	}
	if err := retry(func() error { return unix.Fchmod(d.fd, uint32(mode.Perm())) }); err != nil {
		return &fs.PathError{Op: "chmod", Path: d.path, Err: err}
	}
	return nil
}

// Names lists the directory, in no order.
func (d *Dir) Names() (names []string, err error) {
	fd := -1
	err = retry(func() (err error) {
		fd, err = unix.Openat(d.fd, ".", openDirFlags, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	defer letGo(fd)
	for buf := make([]byte, 4<<10); ; {
		n := 0
		err := retry(func() (err error) {
			n, err = unix.ReadDirent(fd, buf)
			return err
		})
		if err != nil {
			return nil, &fs.PathError{Op: "list", Path: d.path, Err: err}
		}
		if n == 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// Sync makes the names in the directory durable.
func (d *Dir) Sync() error {
	err := retry(func() error { return unix.Fsync(d.fd) })
	if err == nil || cannotSync(err) {
		return nil
	}
	return &fs.PathError{Op: "sync", Path: d.path, Err: err}
}

// create makes a file that must not exist yet and fills it; it is synced with others.
func (d *Dir) create(n NewFile) error {
	fd, err := d.openFile(n.Name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, n.Mode)
	if err != nil {
		return err
	}
	if n.Finish != nil {
		f := os.NewFile(uintptr(fd), filepath.Join(d.path, n.Name))
		return errors.Join(n.write(f), f.Close())
	}
	for rest := n.Data; len(rest) > 0 && err == nil; {
		done := 0
		err = retry(func() (err error) {
			done, err = unix.Write(fd, rest)
			return err
		})
		rest = rest[max(done, 0):]
	}
	if err == nil && n.Mode.Perm()&^d.uncut != 0 {
		err = retry(func() error { return unix.Fchmod(fd, uint32(n.Mode.Perm())) })
	}
	return errors.Join(err, unix.Close(fd))
}
