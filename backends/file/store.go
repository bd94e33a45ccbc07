package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
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
	oldPrefix   = "..old-"        // a generation without its secret files
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
// own, the present one behind the symlink ..data, and under each file's name a
// symlink through it. Replacing the set is one rename of that symlink, so a reader
// that resolves the directory once never sees files of two generations. Where a
// set asks for plain files, they are copies of the present generation's.
//
// What was replaced is kept: the previous generation whole, or as many as the set
// says, and without their secret files ten more. Safe for concurrent use, by
// processes too.
type Store struct {
	path  string
	given string
	label string // the extended attribute with a file's security label
	// How long to wait for another who has the place locked.
	patience time.Duration
}

var (
	_ issue.Store     = (*Store)(nil)
	_ issue.Preparer  = (*Store)(nil)
	_ issue.Auditor   = (*Store)(nil)
	_ issue.Looker    = (*Store)(nil)
	_ issue.Comparer  = (*Store)(nil)
	_ issue.Historian = (*Store)(nil)
	_ issue.Purger    = (*Store)(nil)
)

// NewStore is the place at a path. Nothing is opened yet.
func NewStore(path string) *Store {
	return &Store{path: filepath.Clean(path), given: path, label: "security.selinux", patience: 20 * time.Second}
}

// String is the path as it was given.
func (s *Store) String() string { return s.given }

// anyOwner is for looking at a place without knowing whose it is to be.
var anyOwner = durable.Owner{UID: durable.Any, GID: durable.Any}

// Load reads the present generation, without those of its files that somebody has
// taken away. Where it is damaged otherwise the version comes with the error, so
// that Save can replace it, and so do the facts and the files that can be read.
func (s *Store) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	root, gen, g, err := s.read(ctx)
	if err != nil && root == nil {
		return issue.Set{}, "", err
	}
	return g.set, issue.Version(gen), errors.Join(err, root.Close())
}

// read opens the place and reads the present generation; the caller closes the
// root, which is nil where there is nothing to be read.
func (s *Store) read(ctx context.Context) (root *durable.Dir, gen string, g generation, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", g, err
	}
	root, err = s.open(ctx, anyOwner)
	if err != nil {
		return nil, "", g, err
	}
	if gen, err = present(root); err != nil {
		return nil, "", g, errors.Join(err, root.Close())
	}
	for {
		g, err = readGeneration(root, gen)
		if err == nil && g.listed && len(g.missing) == 0 {
			return root, gen, g, nil // it was the present one when the link was read
		}
		// A generation that is still the present one was not taken away while it was read.
		now, again := present(root)
		if again != nil || now == gen {
			return root, gen, g, err
		}
		if gen = now; ctx.Err() != nil {
			return nil, "", g, errors.Join(ctx.Err(), root.Close())
		}
	}
}

// open opens the place, if it is there and may be used.
func (s *Store) open(ctx context.Context, owner durable.Owner) (*durable.Dir, error) {
	root, err := durable.ConvoyOf(ctx).OpenRoot(s.path, owner)
	if err != nil {
		return nil, notDirectory(err)
	}
	return root, nil
}

// notDirectory makes the error of a path that is a file say so.
func notDirectory(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("is no directory that can be used: %w", pe.Err)
	}
	return err
}

// present is the name of the present generation.
func present(root *durable.Dir) (string, error) {
	gen, err := readLink(root, dataLink)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", err
	}
	if err != nil || !strings.HasPrefix(gen, genPrefix) || filepath.Base(gen) != gen {
		return "", fmt.Errorf("%s is not a link to a generation: %w", dataLink, issue.ErrForeign)
	}
	return gen, nil
}

// Unchanged reads the link to the present generation, and nothing else: whose the
// place is, and its version once more, is for Save to see.
func (s *Store) Unchanged(ctx context.Context, was issue.Version) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	gen, err := linkAt(filepath.Join(s.path, dataLink))
	if errors.Is(err, fs.ErrNotExist) {
		return was == "", nil
	}
	return err == nil && issue.Version(gen) == was, err
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

// checkNames refuses names that are no plain file names of their own.
func checkNames(names []string) error {
	for _, name := range names {
		if name == "" || name == "." || name == factsName || strings.HasPrefix(name, "..") || len(name) > 255 ||
			strings.ContainsAny(name, "/\\") || !utf8.ValidString(name) ||
			strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%+q is no file name for a set", name)
		}
	}
	return nil
}

// checkSet refuses what could be saved nowhere, and finds the owner.
func checkSet(set issue.Set) (owner, error) {
	if err := checkNames(set.Files.Names()); err != nil {
		return owner{}, err
	}
	if !slices.Contains([]string{"", issue.SwapDirectory, issue.SwapFiles}, set.Swap) {
		return owner{}, fmt.Errorf("%+q is no way to replace files: %s and %s are", set.Swap, issue.SwapDirectory, issue.SwapFiles)
	}
	return lookupOwner(set.Owner, set.Group)
}

// errGone says that the place was taken away while its lock was waited for.
var errGone = errors.New("was taken away in the meantime")

// Save writes the set as a new generation and swaps it in.
func (s *Store) Save(ctx context.Context, set issue.Set, was issue.Version) (issue.Version, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	owner, err := checkSet(set)
	if err != nil {
		return "", err
	}
	for {
		v, err := s.save(ctx, set, was, owner)
		if err != nil {
			durable.ConvoyOf(ctx).Bad()
		}
		if !errors.Is(err, errGone) || ctx.Err() != nil {
			return v, err
		}
	}
}

// lock waits for its turn, and not for ever: whoever can open a directory can lock
// it, and a save takes a moment.
func (s *Store) lock(ctx context.Context, root *durable.Dir) (*durable.Lock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience, fmt.Errorf("for more than %s", s.patience))
	defer cancel()
	return root.Acquire(ctx)
}

func (s *Store) save(ctx context.Context, set issue.Set, was issue.Version, owner owner) (v issue.Version, err error) {
	convoy := durable.ConvoyOf(ctx)
	root, made, err := convoy.MakeRoot(s.path, dirMode, owner.trusted())
	if err != nil {
		return "", err
	}
	defer root.Close()
	lock, err := s.lock(ctx, root)
	if err != nil {
		return "", errors.Join(err, made.Undo())
	}
	defer lock.Release()
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Undo())
		}
	}()
	shared := convoy.Join(root)
	old, err := present(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if issue.Version(old) != was {
		return "", issue.ErrChanged
	}
	taken, labels, err := s.replaced(root, made, set, old)
	if err != nil {
		return "", err
	}
	gen := nextGeneration(old)
	if err := writeGeneration(root, gen, set, owner, labels, shared); err != nil {
		return "", err
	}
	done, err := publish(root, gen, old, set, taken, labels, shared)
	if err != nil {
		return "", err
	}
	if err := settle(root, made, shared); err != nil {
		return "", errors.Join(fmt.Errorf("cannot be written: %w", bare(err)), done.undo())
	}
	if !made.New() {
		// What is kept too long for want of a working disk waits for the next time.
		_ = keep(root, gen, old, set).sync(shared)
	}
	return issue.Version(gen), made.Close()
}

// replaced says what stands under the names of a set, and the labels of that. In a
// directory that was made for it, nothing does.
func (s *Store) replaced(root *durable.Dir, made *durable.Made, set issue.Set, old string) (taken map[string]standing, l labels, err error) {
	if made.New() && old == "" {
		return nil, l, nil
	}
	if taken, err = look(root, set); err != nil {
		return nil, l, err
	}
	l, err = readLabels(root, s.label, old, taken)
	return taken, l, err
}

// settle makes the names in a place durable, and that of the place, if it is new.
func settle(root *durable.Dir, made *durable.Made, shared *durable.Shared) error {
	if shared != nil {
		return shared.Sync()
	}
	return errors.Join(root.Sync(), made.Sync())
}

// number is that of a generation, 0 where its name does not say.
func number(gen string) int {
	digits, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(gen, genPrefix), oldPrefix), "-")
	n, _ := strconv.Atoi(digits)
	return max(n, 0)
}

// nextGeneration names the generation after old: its number is for the order of
// what is kept, the random part keeps two of them apart.
func nextGeneration(old string) string {
	return fmt.Sprintf("%s%d-%s", genPrefix, number(old)+1, durable.Suffix())
}

// writeGeneration makes all of a generation, or nothing.
func writeGeneration(root *durable.Dir, gen string, set issue.Set, owner owner, labels labels, shared *durable.Shared) error {
	dir, err := root.Mkdir(gen, dirMode)
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("cannot be written: %w", bare(err))
	}
	defer dir.Close()
	if err := writeFiles(dir, set, owner, labels, shared); err != nil {
		return errors.Join(err, root.RemoveAll(gen))
	}
	return nil
}

func writeFiles(dir *durable.Dir, set issue.Set, owner owner, labels labels, shared *durable.Shared) error {
	m := manifest{Schema: setSchema, Files: []string{}, Secret: []string{}, Facts: set.Facts}
	files := make([]durable.NewFile, 0, len(set.Files)+1)
	for _, name := range set.Files.Names() {
		m.Files = append(m.Files, name)
		f := durable.NewFile{Name: name, Data: set.Files[name].Data, Mode: publicMode}
		if set.Files[name].Secret {
			m.Secret = append(m.Secret, name)
			f.Mode = secretMode
		}
		if labels.has(name) || owner.given() || set.Files[name].Secret && set.Mode != 0 {
			f.Finish = func(f *os.File) error {
				return errors.Join(labels.apply(f, name), finish(f, owner, set.Files[name].Secret, set.Mode))
			}
		}
		files = append(files, f)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	files = append(files, durable.NewFile{Name: factsName, Data: append(data, '\n'), Mode: publicMode})
	if err := labels.applyDir(dir); err != nil {
		return err
	}
	return durable.CreateAll(dir, files, shared)
}

// finish gives a file its owner and, if it is secret, its mode: the owner first,
// for a wider mode must never stand with the wrong group.
func finish(f *os.File, owner owner, secret bool, mode fs.FileMode) error {
	if err := owner.apply(f); err != nil {
		return err
	}
	if !secret || mode == 0 || mode == secretMode {
		return nil
	}
	return f.Chmod(mode)
}
