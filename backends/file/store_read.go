package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

// manifest is what factsName holds.
type manifest struct {
	Schema string `json:"schema"`
	// Files are the names of all files; nil in a generation of an early version.
	Files  []string          `json:"files"`
	Secret []string          `json:"secret"`
	Facts  map[string]string `json:"facts"`
}

const setSchema = "meshpki/set/v1"

// largest bounds what is read of one place: whoever may write there could fill the
// memory of everybody who looks.
const largest = 64 << 20

// generation is one that was read.
type generation struct {
	set     issue.Set
	listed  bool     // it says itself which files it has
	missing []string // and which of them are not there
	mode    fs.FileMode
	infos   map[string]durable.Info // of the files that were read
}

// openGeneration opens a generation and reads what it says of itself.
func openGeneration(root *durable.Dir, gen string) (*durable.Dir, manifest, error) {
	var m manifest
	dir, err := root.Open(gen)
	if err != nil {
		return nil, m, damaged(gen, factsName, err)
	}
	data, err := readFile(dir, factsName, 1<<20)
	if err != nil {
		return nil, m, errors.Join(damaged(gen, factsName, err), dir.Close())
	}
	if err := json.Unmarshal(data, &m); err != nil || m.Schema != setSchema || checkNames(m.Files) != nil || checkNames(m.Secret) != nil {
		return nil, m, errors.Join(fmt.Errorf("%s is damaged: it is not what meshpki wrote there", filepath.Join(gen, factsName)), dir.Close())
	}
	return dir, m, nil
}

// damaged is the error of a file that cannot be read. It is never fs.ErrNotExist:
// something is kept, and it is not whole.
func damaged(gen, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is damaged: %s is missing", gen, name)
	}
	return fmt.Errorf("%s is damaged: %s: %w", gen, name, bare(err))
}

// readGeneration reads all of a generation. Of a damaged one it gives what it says
// of itself and what else can be read, with the error of the first that cannot.
func readGeneration(root *durable.Dir, gen string) (generation, error) {
	dir, m, err := openGeneration(root, gen)
	if err != nil {
		return generation{}, err
	}
	defer dir.Close()
	g := generation{set: issue.Set{Files: make(issue.Files, len(m.Files)), Facts: m.Facts}, listed: m.Files != nil,
		infos: make(map[string]durable.Info, len(m.Files))}
	names := m.Files
	if !g.listed {
		if names, err = filesIn(dir); err != nil {
			return generation{}, damaged(gen, "it", err)
		}
		// Of the others nobody knows any more.
		g.missing = slices.DeleteFunc(slices.Clone(m.Secret), func(name string) bool { return slices.Contains(names, name) })
	}
	info, err := dir.Stat()
	if err != nil {
		return generation{}, damaged(gen, "it", err)
	}
	g.mode = info.Mode.Perm()
	trust := owned(info)
	room := int64(largest)
	var first error
	for _, name := range names {
		data, info, err := dir.ReadFile(name, room, trust)
		if errors.Is(err, fs.ErrNotExist) {
			g.missing = append(g.missing, name)
			continue
		}
		if err != nil {
			if first == nil {
				first = damaged(gen, name, err)
			}
			continue
		}
		room -= int64(len(data))
		g.infos[name] = info
		g.set.Files[name] = issue.File{Data: data, Secret: slices.Contains(m.Secret, name)}
	}
	return g, first
}

// filesIn lists the files of a set in a generation's directory.
func filesIn(dir *durable.Dir) ([]string, error) {
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == factsName }), nil
}

// readFile reads a regular file, of at most so many bytes.
func readFile(dir *durable.Dir, name string, most int64) ([]byte, error) {
	data, _, err := dir.ReadFile(name, most, nil)
	return data, err
}
