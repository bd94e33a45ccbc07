//go:build unix

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	writeGroup = 0o020
	writeAll   = 0o002
	sticky     = 0o1000
	mostLinks  = 40 // in one path, as in Linux
)

// Trusted tells whether others could change the file or directory that a path
// leads to; then it is an *UntrustedError. uid is whose it may be besides root's,
// or None. For a process that is not root's it says nothing.
func Trusted(path string, uid int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	w := &walker{owner: Owner{uid, None}, fd: -1}
	defer w.close()
	if err := w.walk(path, true); err != nil {
		return err
	}
	if w.sticky {
		return &UntrustedError{w.path, "may be written by everybody"}
	}
	return nil
}

func openTrusted(path string, owner Owner, parent bool) (*Dir, error) {
	if os.Geteuid() != 0 || plainlyRoots(path) {
		return OpenDir(path)
	}
	w := &walker{owner: owner, fd: -1}
	defer w.close()
	if err := w.walk(path, false); err != nil {
		return nil, err
	}
	if w.sticky && !parent {
		return nil, &UntrustedError{w.path, "may be written by everybody"}
	}
	// It is opened by its name, and so that a pipe is not waited for: what was looked
	// at has to be what was opened.
	root, err := OpenDir(path + "/.")
	if err != nil {
		return nil, err
	}
	var seen unix.Stat_t
	if err := unix.Fstat(w.fd, &seen); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if !root.info.Same(infoOf(&seen)) {
		return nil, errors.Join(&UntrustedError{path, "was replaced while it was opened"}, root.Close())
	}
	return root, nil
}

// plainlyRoots is the common case of walker.walk, one system call a component: no
// link on the way, and all of it root's. Then nobody else can change any of it
// between two looks.
func plainlyRoots(path string) bool {
	if filepath.Clean(path) != path {
		return false
	}
	if filepath.IsAbs(path) {
		return rootsAlone(path)
	}
	dir, err := os.Getwd()
	if err != nil {
		return false
	}
	// Where it leads out of the working directory, that must not be there by a link:
	// the path would go up from elsewhere.
	return (!strings.HasPrefix(path, "..") || rootsAlone(dir)) && rootsAlone(filepath.Join(dir, path))
}

// plain tells whether nobody but root can change what a path leads to. For a process
// that is not root's it says nothing.
func plain(path string) bool { return os.Geteuid() != 0 || plainlyRoots(path) }

// ownAlone is plain of a directory in one that is.
func ownAlone(info Info) bool {
	return os.Geteuid() != 0 || info.UID == 0 && info.Mode&(writeGroup|writeAll) == 0
}

// rootsAlone is plainlyRoots of a clean absolute path.
func rootsAlone(path string) bool {
	for at := 0; at <= len(path); at++ {
		if at > 0 && at < len(path) && path[at] != '/' {
			continue
		}
		var st unix.Stat_t
		if err := unix.Lstat(path[:max(at, 1)], &st); err != nil {
			return false
		}
		safe := st.Mode&(writeGroup|writeAll) == 0 || st.Mode&sticky != 0 && at < len(path)
		if uint32(st.Mode)&unix.S_IFMT != unix.S_IFDIR || st.Uid != 0 || !safe { //nolint:unconvert // Darwin has it shorter
			return false
		}
	}
	return true
}

// walker goes down a path, each component by a handle on the one before.
type walker struct {
	owner Owner
	fd    int    // the directory where it is
	path  string // and its name
	links int
	// In a directory where everybody may write, but move only what is theirs.
	sticky bool
	// Below a directory of the owner's, who may move everything about at any time.
	theirs bool
}

func (w *walker) close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd)
	}
}

// walk goes to a directory or, where that may be so, a file.
func (w *walker) walk(path string, file bool) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := w.start(); err != nil {
		return err
	}
	for rest := strings.Split(abs, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch {
		case name == "" || name == ".":
			continue
		case name == ".." && w.theirs:
			return &UntrustedError{w.path, "is left again by the path"}
		}
		target, err := w.step(name, file && len(rest) == 0)
		if err != nil {
			return err
		}
		if target == "" {
			continue
		}
		if strings.HasPrefix(target, "/") {
			if err := w.start(); err != nil {
				return err
			}
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

// start goes to the top.
func (w *walker) start() error {
	fd, err := unix.Open("/", search|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	return w.enter(fd, "/")
}

// enter makes an open directory the one where it is, if it may.
func (w *walker) enter(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	w.close()
	w.fd, w.path = fd, path
	return w.judge(&st)
}

// step goes to an entry. Where that is a link it stays, and gives what the link says.
func (w *walker) step(name string, file bool) (link string, err error) {
	path := filepath.Join(w.path, name)
	fd, err := unix.Openat(w.fd, name, search|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		return "", w.enter(fd, path)
	}
	if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.EMLINK) {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstatat(w.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if uint32(st.Mode)&unix.S_IFMT != unix.S_IFLNK { //nolint:unconvert // Darwin has it shorter
		if !file {
			return "", &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
		}
		w.path, w.sticky = path, false
		return "", w.judge(&st)
	}
	if w.theirs || w.sticky && st.Uid != 0 {
		return "", &UntrustedError{path, "is a link that others can change"}
	}
	if w.links++; w.links > mostLinks {
		return "", &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
	}
	to := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.fd, name, to)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(to[:n]), nil
}

// judge says whether others could change what it has come to.
func (w *walker) judge(st *unix.Stat_t) error {
	mode, uid := uint32(st.Mode), int(st.Uid) //nolint:unconvert // not of that type on every system
	directory := mode&unix.S_IFMT == unix.S_IFDIR
	shared := mode & (writeGroup | writeAll)
	if uid != 0 {
		if w.owner.UID == Any {
			w.owner.UID = uid
		}
		if uid != w.owner.UID {
			return &UntrustedError{w.path, "belongs to " + userName(uid)}
		}
		if shared == writeGroup && (w.owner.GID == int(st.Gid) || w.owner.GID == Any) {
			shared = 0
		}
		w.theirs = true
	}
	w.sticky = directory && shared != 0 && mode&sticky != 0 && !w.theirs
	switch {
	case shared == 0 || w.sticky:
		return nil
	case shared&writeAll != 0:
		return &UntrustedError{w.path, "may be written by everybody"}
	}
	return &UntrustedError{w.path, "may be written by group " + groupName(int(st.Gid))}
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user %d", uid)
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}
