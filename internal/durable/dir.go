package durable

import (
	"errors"
	"io"
	"io/fs"
)

// Dir is an open directory. What is in it is reached by its name or, where one is in
// a directory below, by names with slashes between them: no link is followed on the
// way, and none at its end but where that is said. It does what an os.Root does, with a
// third of the system calls, for it is used for each of many thousand sets. Its errors
// name what they are about as the caller did. Safe for concurrent use until it is closed.
type Dir struct {
	dir
	path string
	// What it was when it was opened.
	info Info
	// Modes of which nothing was cut when the directory was made: nothing is of those of
	// the files in it.
	uncut fs.FileMode
}

// Name is the path that it was opened by.
func (d *Dir) Name() string { return d.path }

// Info says what a file is.
type Info struct {
	Mode     fs.FileMode
	Size     int64
	UID, GID int // -1 where files have no owners
	id       identity
}

// Same tells whether two are of one file.
func (i Info) Same(other Info) bool { return i.id.same(other.id) }

// What cannot be read whole.
var (
	errNoFile   = errors.New("it is no file")
	errTooLarge = errors.New("it is too large")
	errChanging = errors.New("it was changed while it was read")
)

// readWhole reads a regular file, of at most so many bytes, that trust accepts.
func readWhole(info Info, most int64, trust func(Info) error, read func([]byte) (int, error)) ([]byte, error) {
	switch {
	case !info.Mode.IsRegular():
		return nil, errNoFile
	case info.Size > most:
		return nil, errTooLarge
	}
	if trust != nil {
		if err := trust(info); err != nil {
			return nil, err
		}
	}
	// One byte more, so that a whole file takes one read.
	data := make([]byte, info.Size+1)
	n, err := read(data)
	if errors.Is(err, io.EOF) {
		n, err = 0, nil
	}
	if err != nil {
		return nil, err
	}
	if int64(n) != info.Size {
		return nil, errChanging
	}
	return data[:n], nil
}
