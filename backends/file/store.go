package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

// Names inside a place. Readers of Kubernetes volumes know the first; names that
// start with ".." are never a set's own.
const (
	dataLink    = "..data"        // the symlink to the present generation
	genPrefix   = "..gen-"        // ..gen-<number>-<random>
	probePrefix = "..probe-"      // a file that Prepare makes and takes away
	keptName    = "..replaced"    // where files that were not ours are kept aside
	factsName   = ".meshpki.json" // inside a generation: what the set is
)

const (
	publicMode = 0o644
	secretMode = 0o600
	dirMode    = 0o755
)

// Store keeps a set in a directory: each generation whole in a directory of its
// own, the present one behind the symlink ..data, and a symlink for each file
// name through it. Replacing the set is one rename of that symlink, so a reader
// that resolves the directory once never sees files of two generations. The
// previous generation is kept. Safe for concurrent use, by processes too.
type Store struct {
	path  string
	given string
}

var (
	_ issue.Store    = (*Store)(nil)
	_ issue.Preparer = (*Store)(nil)
)

// NewStore is the place at a path. Nothing is opened yet.
func NewStore(path string) *Store { return &Store{path: filepath.Clean(path), given: path} }

// String is the path as it was given.
func (s *Store) String() string { return s.given }

// manifest is what factsName holds.
type manifest struct {
	Schema string            `json:"schema"`
	Secret []string          `json:"secret"`
	Facts  map[string]string `json:"facts"`
}

const setSchema = "meshpki/set/v1"

// Load reads the present generation. Where it is damaged the version comes with
// the error, so that Save can replace it.
func (s *Store) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	if err := ctx.Err(); err != nil {
		return issue.Set{}, "", err
	}
	root, err := os.OpenRoot(s.path)
	if err != nil {
		return issue.Set{}, "", notDirectory(err)
	}
	defer root.Close()
	for {
		if err := ctx.Err(); err != nil {
			return issue.Set{}, "", err
		}
		gen, err := present(root)
		if err != nil {
			return issue.Set{}, "", err
		}
		set, err := readGeneration(root, gen)
		// A generation that is still the present one was not taken away while it was read.
		if now, again := present(root); again == nil && now != gen {
			continue
		}
		return set, issue.Version(gen), err
	}
}

// notDirectory makes the error of a path that is a file say so.
func notDirectory(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("is no directory that can be used: %w", pe.Err)
	}
	return err
}

// present is the name of the present generation.
func present(root *os.Root) (string, error) {
	gen, err := readLink(root, dataLink)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", err
	}
	if err != nil || !strings.HasPrefix(gen, genPrefix) || filepath.Base(gen) != gen {
		return "", fmt.Errorf("%s is not a link to a generation: %w", dataLink, issue.ErrForeign)
	}
	return gen, nil
}

func readGeneration(root *os.Root, gen string) (issue.Set, error) {
	data, err := root.ReadFile(filepath.Join(gen, factsName))
	if errors.Is(err, fs.ErrNotExist) {
		// Not fs.ErrNotExist for the caller: something is kept, and it is not whole.
		return issue.Set{}, fmt.Errorf("%s is damaged: %s is missing", gen, factsName)
	}
	if err != nil {
		return issue.Set{}, fmt.Errorf("%s is damaged: %w", gen, bare(err))
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil || m.Schema != setSchema {
		return issue.Set{}, fmt.Errorf("%s is damaged: it is not what meshpki wrote there", filepath.Join(gen, factsName))
	}
	d, err := root.Open(gen)
	if err != nil {
		return issue.Set{}, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return issue.Set{}, err
	}
	set := issue.Set{Files: issue.Files{}, Facts: m.Facts}
	for _, name := range names {
		if name == factsName {
			continue
		}
		data, err := root.ReadFile(filepath.Join(gen, name))
		if errors.Is(err, fs.ErrNotExist) {
			return issue.Set{}, fmt.Errorf("%s is damaged: %s leads nowhere", gen, name)
		}
		if err != nil {
			return issue.Set{}, err
		}
		set.Files[name] = issue.File{Data: data, Secret: slices.Contains(m.Secret, name)}
	}
	return set, nil
}

// Prepare sees whether a set could be saved: the place is a directory or can be
// made one, may be written, and nobody else's files stand under the set's names.
func (s *Store) Prepare(ctx context.Context, set issue.Set) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkNames(set.Files); err != nil {
		return err
	}
	if _, err := lookupOwner(set.Owner, set.Group); err != nil {
		return err
	}
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		parent := existingParent(s.path)
		if err := writable(parent); err != nil {
			return fmt.Errorf("cannot be made: %s %w", parent, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("is a file: %w", issue.ErrForeign)
	}
	if err := writable(s.path); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.path)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = foreign(root, set)
	return err
}

// existingParent is the nearest directory above that is there.
func existingParent(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// writable makes a file in the directory and takes it away again.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, probePrefix+"*")
	if err != nil {
		return fmt.Errorf("cannot be written: %w", bare(err))
	}
	_, err = f.Write(make([]byte, 4096)) // a full disk takes a name but no bytes
	if err != nil {
		err = fmt.Errorf("cannot be written: %w", bare(err))
	}
	gone := os.Remove(f.Name())
	if errors.Is(gone, fs.ErrNotExist) {
		gone = nil // a Save took it for a dead process's
	}
	return errors.Join(err, f.Close(), gone)
}

// bare drops operation and path from an error that is said with others.
func bare(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok {
		return le.Err
	}
	return err
}

// foreign lists the names of the set that are taken by what is no link of ours.
// They are issue.ErrForeign unless they may be replaced; a directory never is.
func foreign(root *os.Root, set issue.Set) ([]string, error) {
	var found []string
	for _, name := range set.Files.Names() {
		info, err := root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if isOurs(root, name) {
			continue
		}
		if !set.Replace || info.IsDir() {
			return nil, fmt.Errorf("%s stands there and was %w", name, issue.ErrForeign)
		}
		found = append(found, name)
	}
	return found, nil
}

// isOurs tells whether a name is our link through ..data, or our own plain file
// where links are not to be had.
func isOurs(root *os.Root, name string) bool {
	if !linksWork {
		return isOurCopy(root, name)
	}
	target, err := root.Readlink(name)
	return err == nil && target == filepath.Join(dataLink, name)
}

// isOurCopy tells whether a plain file is one of any generation that is there: a
// process may have died between two of its copies.
func isOurCopy(root *os.Root, name string) bool {
	theirs, err := root.ReadFile(name)
	if err != nil {
		return false
	}
	gens, err := fs.Glob(root.FS(), genPrefix+"*")
	return err == nil && slices.ContainsFunc(gens, func(gen string) bool {
		ours, err := root.ReadFile(filepath.Join(gen, name))
		return err == nil && bytes.Equal(ours, theirs)
	})
}

// checkNames refuses names that are no plain file names of their own.
func checkNames(f issue.Files) error {
	for name := range f {
		if name == "" || name == "." || name == factsName || strings.HasPrefix(name, "..") || len(name) > 255 ||
			strings.ContainsAny(name, "/\\") || !utf8.ValidString(name) ||
			strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%+q is no file name for a set", name)
		}
	}
	return nil
}

// Save writes the set as a new generation and swaps it in.
func (s *Store) Save(ctx context.Context, set issue.Set, was issue.Version) (issue.Version, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := checkNames(set.Files); err != nil {
		return "", err
	}
	owner, err := lookupOwner(set.Owner, set.Group)
	if err != nil {
		return "", err
	}
	if err := durable.MkdirAll(s.path, dirMode); err != nil {
		return "", err
	}
	lock, err := durable.AcquireDir(ctx, s.path)
	if err != nil {
		return "", err
	}
	defer lock.Release()
	root, err := os.OpenRoot(s.path)
	if err != nil {
		return "", err
	}
	defer root.Close()
	old, err := present(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if issue.Version(old) != was {
		return "", issue.ErrChanged
	}
	theirs, err := foreign(root, set)
	if err != nil {
		return "", err
	}
	gen := nextGeneration(old)
	if err := writeGeneration(root, gen, set, owner); err != nil {
		return "", errors.Join(err, root.RemoveAll(gen))
	}
	if err := publish(root, gen, old, set, theirs); err != nil {
		return "", err
	}
	prune(root, gen, old, set)
	return issue.Version(gen), nil
}

// nextGeneration names the generation after old: its number is for people, the
// random part keeps two of them apart.
func nextGeneration(old string) string {
	var n int
	// A name that cannot be read starts the count again; the random part is what counts.
	_, _ = fmt.Sscanf(strings.TrimPrefix(old, genPrefix), "%d-", &n)
	return fmt.Sprintf("%s%d-%s", genPrefix, n+1, durable.Suffix())
}

func writeGeneration(root *os.Root, gen string, set issue.Set, owner owner) error {
	if err := root.Mkdir(gen, dirMode); err != nil {
		return fmt.Errorf("cannot be written: %w", bare(err))
	}
	m := manifest{Schema: setSchema, Secret: []string{}, Facts: set.Facts}
	files := make([]durable.NewFile, 0, len(set.Files)+1)
	for _, name := range set.Files.Names() {
		f := durable.NewFile{Name: name, Data: set.Files[name].Data, Mode: publicMode}
		if set.Files[name].Secret {
			m.Secret = append(m.Secret, name)
			f.Mode = secretMode
		}
		f.Finish = finish(owner, set.Files[name].Secret, set.Mode)
		files = append(files, f)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	files = append(files, durable.NewFile{Name: factsName, Data: append(data, '\n'), Mode: publicMode})
	// The umask may have cut the directory's mode below what readers need.
	if err := root.Chmod(gen, dirMode); err != nil {
		return err
	}
	return durable.CreateAll(root, gen, files)
}

// finish gives a file its owner and, if it is secret, its mode: the owner first,
// for a wider mode must never stand with the wrong group.
func finish(owner owner, secret bool, mode fs.FileMode) func(*os.File) error {
	return func(f *os.File) error {
		if err := owner.apply(f); err != nil {
			return err
		}
		if !secret || mode == 0 || mode == secretMode {
			return nil
		}
		return f.Chmod(mode)
	}
}

// prune takes away what is neither the present generation nor the previous one,
// and links to names that the set no longer has. What cannot be removed is left
// for the next time: the set itself is in place.
func prune(root *os.Root, gen, old string, set issue.Set) {
	d, err := root.Open(".")
	if err != nil {
		return
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, name := range names {
		_, wanted := set.Files[name]
		switch {
		case strings.HasPrefix(name, genPrefix) && name != gen && name != old:
			_ = root.RemoveAll(name)
		case strings.HasPrefix(name, dataLink+"."), strings.HasPrefix(name, probePrefix):
			_ = root.Remove(name)
		case !strings.HasPrefix(name, "..") && !wanted && linksWork && isOurs(root, name):
			_ = root.Remove(name)
		}
	}
}
