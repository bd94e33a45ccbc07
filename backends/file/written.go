package file

import (
	"io"
	"os"
	"path/filepath"

	"github.com/meshpki/meshpki/internal/durable"
)

// writtenDir is, in cache/, where it is kept what places elsewhere remember.
const writtenDir = "written"

// mostWritten is how long one file of it may be.
const mostWritten = 64 << 10

// Written keeps what places elsewhere remember of what was delivered there, a file for
// each target. All of it may be lost, or be of another time: so nothing waits for the
// disk, no error is told, and what was cut by a crash is for the reader to see. Safe for
// concurrent use.
type Written struct{ dir string }

// Written is where that is kept. Nothing is opened yet.
func (d *Directory) Written() *Written {
	return &Written{filepath.Join(d.path, cacheDir, writtenDir)}
}

// path is the file of a name; "" where it is none.
func (w *Written) path(name string) string {
	if filepath.Base(name) != name || name == "." || name == ".." {
		return ""
	}
	return filepath.Join(w.dir, name)
}

// Recall gives what was kept under a name; nil where nothing was.
func (w *Written) Recall(name string) []byte {
	path := w.path(name)
	if path == "" {
		return nil
	}
	f, err := durable.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() >= mostWritten {
		return nil
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil
	}
	return data
}

// Keep replaces what is kept under a name. It is written in place: a file that is emptied
// first would be sent to the disk at once.
func (w *Written) Keep(name string, data []byte) {
	path := w.path(name)
	if path == "" {
		return
	}
	if len(data) == 0 || len(data) >= mostWritten {
		_ = os.Remove(path)
		return
	}
	f, err := durable.OpenFile(path, os.O_WRONLY|os.O_CREATE, secretMode)
	if os.IsNotExist(err) && os.MkdirAll(w.dir, 0o700) == nil {
		f, err = durable.OpenFile(path, os.O_WRONLY|os.O_CREATE, secretMode)
	}
	if err != nil {
		return
	}
	_, err = f.Write(data)
	if info, failed := f.Stat(); err == nil && failed == nil && info.Size() > int64(len(data)) {
		err = f.Truncate(int64(len(data)))
	}
	if f.Close() != nil || err != nil {
		_ = os.Remove(path) // an old end behind a new beginning is of no use
	}
}
