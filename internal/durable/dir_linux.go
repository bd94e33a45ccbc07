package durable

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Attribute reads an extended attribute of the directory; nil where it has none of that name.
func (d *Dir) Attribute(name string) ([]byte, error) {
	var most [256]byte
	for value := most[:]; ; value = make([]byte, 64<<10) { // the most that there can be
		n, err := unix.Fgetxattr(d.fd, name, value)
		switch {
		case err == nil:
			return append([]byte{}, value[:n]...), nil
		case errors.Is(err, unix.ERANGE) && len(value) == len(most):
			continue
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
			return nil, nil
		}
		return nil, &fs.PathError{Op: "read an attribute of", Path: d.path, Err: err}
	}
}

// SetAttribute sets an extended attribute of the directory.
func (d *Dir) SetAttribute(name string, value []byte) error {
	if err := unix.Fsetxattr(d.fd, name, value, 0); err != nil {
		return &fs.PathError{Op: "set an attribute of", Path: d.path, Err: err}
	}
	return nil
}
