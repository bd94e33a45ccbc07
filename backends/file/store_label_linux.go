package file

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/meshpki/meshpki/internal/durable"
)

// labels are security labels (SELinux contexts) of the files of a set, by name,
// and that of their directory under the name of none. Nil where there are none.
type labels map[string]label

type label struct {
	attribute string
	value     []byte
}

// readLabels reads the labels of the files that a set replaces. A place without a
// label itself is on a system without them, and nothing else is looked at.
func readLabels(root *durable.Dir, attribute, old string, taken map[string]standing) (labels, error) {
	if value, err := root.Attribute(attribute); err != nil || value == nil {
		return nil, noLabel(".", err)
	}
	all := labels{}
	for name, is := range taken {
		if is == nothing {
			continue
		}
		path := name
		if is == ourLink {
			path = old + "/" + name
		} else if to, err := root.Readlink(name); err == nil {
			path = to // of somebody else, within the place
		}
		l, err := labelOf(root, path, attribute)
		if err != nil {
			return nil, err
		}
		all[name] = l
	}
	if old == "" {
		return all, nil
	}
	dir, err := root.Open(old)
	if err != nil {
		return all, nil //nolint:nilerr // there is nothing to go by
	}
	value, err := dir.Attribute(attribute)
	all[""] = label{attribute, value}
	return all, errors.Join(noLabel(old, err), dir.Close())
}

// noLabel is the error of a label that cannot be read.
func noLabel(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read the label of %s: %w", name, bare(err))
}

// labelOf reads the label of a file. None is no error, nor is a file that cannot be
// opened: then there is nothing to go by.
func labelOf(root *durable.Dir, name, attribute string) (label, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return label{}, nil
	}
	defer f.Close()
	value := make([]byte, 4096)
	n, err := unix.Fgetxattr(int(f.Fd()), attribute, value)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return label{}, nil
	case err != nil:
		return label{}, noLabel(name, err)
	}
	return label{attribute, value[:n]}, nil
}

// has tells whether there is one for a file.
func (l labels) has(name string) bool { return l[name].value != nil }

// apply gives a file the label of the one that it replaces.
func (l labels) apply(f *os.File, name string) error {
	if l[name].value == nil {
		return nil
	}
	if err := unix.Fsetxattr(int(f.Fd()), l[name].attribute, l[name].value, 0); err != nil {
		return fmt.Errorf("set the label %q: %w", l[name].value, err)
	}
	return nil
}

// applyDir gives a generation's directory the label of the one before.
func (l labels) applyDir(dir *durable.Dir) error {
	if l[""].value == nil {
		return nil
	}
	if err := dir.SetAttribute(l[""].attribute, l[""].value); err != nil {
		return fmt.Errorf("set the label %q: %w", l[""].value, bare(err))
	}
	return nil
}
