package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

// linksWork tells whether a set can be swapped by one rename of a symlink. On
// Windows links need a right that services seldom have: there the generation is
// copied file by file, each replaced by a rename, the key last; between two of
// them a reader may see files of two generations.
const linksWork = false

// readLink reads the plain file that stands for the link.
func readLink(root *os.Root, name string) (string, error) {
	data, err := root.ReadFile(name)
	return string(data), err
}

func publish(root *os.Root, gen, old string, set issue.Set, theirs []string) error {
	if err := copyOut(root, set, theirs); err != nil {
		return errors.Join(err, root.RemoveAll(gen))
	}
	if err := durable.WriteFile(filepath.Join(root.Name(), dataLink), []byte(gen), publicMode); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	// The copies of names that the set no longer has.
	last, err := readGeneration(root, old)
	if err != nil {
		return nil //nolint:nilerr // the set is in place; what was there before cannot be read
	}
	for name := range last.Files {
		if _, wanted := set.Files[name]; !wanted && isOurCopy(root, name) {
			_ = root.Remove(name)
		}
	}
	return nil
}

// copyOut puts a copy of each file under its own name, the secret ones last, and
// keeps aside what is not ours.
func copyOut(root *os.Root, set issue.Set, theirs []string) error {
	if len(theirs) > 0 {
		if err := root.Mkdir(keptName, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, name := range theirs {
		kept := filepath.Join(keptName, name)
		if _, err := root.Lstat(kept); err == nil {
			kept += "." + durable.Suffix()
		}
		if err := root.Rename(name, kept); err != nil {
			return fmt.Errorf("keep %s aside: %w", name, bare(err))
		}
	}
	for _, secret := range []bool{false, true} {
		for _, name := range set.Files.Names() {
			if set.Files[name].Secret != secret {
				continue
			}
			if err := replaceCopy(root, name, set.Files[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

func replaceCopy(root *os.Root, name string, f issue.File) error {
	tmp := dataLink + "." + durable.Suffix()
	if err := durable.Create(root, tmp, f.Data, secretMode); err != nil {
		return err
	}
	return root.Rename(tmp, name)
}

// owner has no meaning here: files inherit the directory's access list.
type owner struct{}

func lookupOwner(name, group string) (owner, error) {
	if name != "" || group != "" {
		return owner{}, errors.New("owner and group cannot be set on Windows")
	}
	return owner{}, nil
}

func (owner) apply(*os.File) error { return nil }
