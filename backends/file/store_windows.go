package file

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/meshpki/meshpki/internal/durable"
)

// On Windows links need a right that services seldom have: there the names are
// copies, whatever the set says, and ..data is a file with the generation's name.
const (
	linksWork = false
	modesWork = false // files inherit the directory's access list
)

// readLink reads the plain file that stands for the link.
func readLink(root *durable.Dir, name string) (string, error) {
	data, err := readFile(root, name, 1<<10)
	return string(data), err
}

// linkAt is readLink by a path.
func linkAt(path string) (string, error) {
	root, err := durable.OpenDir(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer root.Close()
	return readLink(root, filepath.Base(path))
}

// swap makes a generation the present one with one rename.
func swap(root *durable.Dir, gen, _ string) error {
	tmp := dataLink + "." + durable.Suffix()
	if err := durable.CreateAll(root, []durable.NewFile{{Name: tmp, Data: []byte(gen), Mode: publicMode}}, nil); err != nil {
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

func (owner) given() bool { return false }

func (owner) apply(*os.File) error { return nil }

func ownerOf(durable.Info) owner { return owner{-1, -1} }

func takeAfter(*os.File, durable.Info) error { return nil }

func owned(durable.Info) func(durable.Info) error { return nil }

func userName(int) string { return "" }

func groupName(int) string { return "" }
