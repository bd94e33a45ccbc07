//go:build unix

package file

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/meshpki/meshpki/internal/durable"
)

const (
	linksWork = true // a set can be swapped by one rename of a symlink
	modesWork = true // files have modes and owners
)

func readLink(root *durable.Dir, name string) (string, error) { return root.Readlink(name) }

// linkAt is readLink by a path.
func linkAt(path string) (string, error) { return os.Readlink(path) }

// swap makes a generation the present one with one rename, or as the first one.
func swap(root *durable.Dir, gen, old string) error {
	if old == "" {
		return root.Symlink(gen, dataLink)
	}
	tmp := dataLink + "." + durable.Suffix()
	if err := root.Symlink(gen, tmp); err != nil {
		return err
	}
	if err := root.Rename(tmp, dataLink); err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	return nil
}

// owner is a user and a group by number; -1 leaves what is there.
type owner struct{ uid, gid int }

// trusted is who may have the place besides root.
func (o owner) trusted() durable.Owner {
	if os.Geteuid() != 0 || o.uid <= 0 {
		return durable.Owner{UID: durable.None, GID: durable.None}
	}
	gid := o.gid
	if gid < 0 {
		if u, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
			gid, _ = parseID(u.Gid)
		}
	}
	return durable.Owner{UID: o.uid, GID: gid}
}

// lookupOwner finds the numbers for names.
func lookupOwner(name, group string) (owner, error) {
	o := owner{-1, -1}
	var err error
	if name != "" {
		if o.uid, err = parseID(name); err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return o, fmt.Errorf("owner %+q: there is no such user here", name)
			}
			if o.uid, err = parseID(u.Uid); err != nil {
				return o, fmt.Errorf("owner %+q: %w", name, err)
			}
		}
	}
	if group != "" {
		if o.gid, err = parseID(group); err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return o, fmt.Errorf("group %+q: there is no such group here", group)
			}
			if o.gid, err = parseID(g.Gid); err != nil {
				return o, fmt.Errorf("group %+q: %w", group, err)
			}
		}
	}
	return o, nil
}

// parseID reads the number of a user or group; the highest one stands for none.
func parseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return int(n), err
}

// given tells whether there is anything to apply.
func (o owner) given() bool { return o.uid >= 0 || o.gid >= 0 }

func (o owner) apply(f *os.File) error {
	if !o.given() {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}

// ownerOf is whose a file is.
func ownerOf(info durable.Info) owner { return owner{info.UID, info.GID} }

// takeAfter gives a file the owner and then the mode of another.
func takeAfter(f *os.File, other durable.Info) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if is := ownerOf(other); !ok || is != (owner{int(st.Uid), int(st.Gid)}) {
		if err := is.apply(f); err != nil {
			return err
		}
	}
	return f.Chmod(other.Mode.Perm())
}

// owned gives what a file in a generation's directory has to be. As root, in the
// directory of somebody else's, it has to be theirs: they may have put another's
// there, by a second name.
func owned(info durable.Info) func(durable.Info) error {
	whose := ownerOf(info).uid
	if whose == 0 || os.Geteuid() != 0 {
		return nil
	}
	return func(info durable.Info) error {
		if ownerOf(info).uid != whose {
			return fmt.Errorf("it belongs to %s, in a directory of %s", userName(ownerOf(info).uid), userName(whose))
		}
		return nil
	}
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}
