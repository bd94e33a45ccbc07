package file

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
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
func readLabels(root *os.Root, attribute, old string, taken map[string]standing) (labels, error) {
	if l, err := labelOf(root, ".", attribute); err != nil || l.value == nil {
		return nil, err
	}
	all := labels{}
	for name, is := range taken {
		if is == nothing {
			continue
		}
		l, err := labelOf(root, name, attribute)
		if err != nil {
			return nil, err
		}
		all[name] = l
	}
	if old == "" {
		return all, nil
	}
	var err error
	all[""], err = labelOf(root, old, attribute)
	return all, err
}

// labelOf reads the label of a file, which links within the place may lead to.
// None is no error, nor is a file that cannot be opened: then there is nothing to go by.
func labelOf(root *os.Root, name, attribute string) (label, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|noWait, 0)
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
		return label{}, fmt.Errorf("read the label of %s: %w", name, err)
	}
	return label{attribute, value[:n]}, nil
}

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
func (l labels) applyDir(dir *os.Root) error {
	if l[""].value == nil {
		return nil
	}
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return l.apply(d, "")
}
