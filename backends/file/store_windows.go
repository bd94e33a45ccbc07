package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meshpki/meshpki/internal/durable"
)

// On Windows links need a right that services seldom have: there the names are
// copies, whatever the set says, and ..data is a file with the generation's name.
const (
	linksWork = false
	modesWork = false // files inherit the directory's access list
	noWait    = 0
)

// readLink reads the plain file that stands for the link.
func readLink(root *os.Root, name string) (string, error) {
	data, err := readFile(root, name, 1<<10)
	return string(data), err
}

// linkAt is readLink by a path.
func linkAt(path string) (string, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer root.Close()
	return readLink(root, filepath.Base(path))
}

// swap makes a generation the present one with one rename.
func swap(root *os.Root, gen string) error {
	tmp := dataLink + "." + durable.Suffix()
	if err := durable.Create(root, tmp, []byte(gen), publicMode); err != nil {
		return err
	}
	if err := root.Rename(tmp, dataLink); err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	return nil
}

// owner has no meaning here.
type owner struct{ uid, gid int }

func (owner) trusted() durable.Owner { return durable.Owner{UID: durable.None, GID: durable.None} }

func lookupOwner(name, group string) (owner, error) {
	if name != "" || group != "" {
		return owner{}, errors.New("owner and group cannot be set on Windows")
	}
	return owner{-1, -1}, nil
}

func (owner) apply(*os.File) error { return nil }

func ownerOf(fs.FileInfo) owner { return owner{-1, -1} }

func takeAfter(*os.File, fs.FileInfo) error { return nil }

func owned(fs.FileInfo) func(fs.FileInfo) error { return anyFile }

func userName(int) string { return "" }

func groupName(int) string { return "" }
