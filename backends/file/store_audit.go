package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

// Audit names what differs from want in mode, owner or group, and which names do
// not lead to the present generation: an earlier Save that did not come to its
// end, or somebody who changed them.
func (s *Store) Audit(ctx context.Context, want issue.Set) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	owner, err := lookupOwner(want.Owner, want.Group)
	if err != nil {
		return nil, err
	}
	root, err := s.open(ctx, anyOwner)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	gen, err := present(root)
	if err != nil {
		return nil, err
	}
	a := &auditor{root: root, gen: gen, want: want, owner: owner, plain: !linksWork || want.Swap == issue.SwapFiles}
	if a.dir, a.files, err = a.names(); err != nil {
		return nil, err
	}
	defer a.dir.Close()
	info, err := a.dir.Stat()
	if err != nil {
		return nil, err
	}
	a.directory(info.Mode.Perm())
	for _, name := range a.files.Names() {
		if err := a.file(name); err != nil {
			return nil, err
		}
	}
	return a.found, nil
}

// Look is Load with an Audit of what was loaded, for which nothing is read again
// where every name is the link that it should be.
func (s *Store) Look(ctx context.Context) (issue.Set, issue.Version, func(context.Context, issue.Set) ([]string, error), error) {
	root, gen, g, err := s.read(ctx)
	if err != nil && root == nil {
		return issue.Set{}, "", nil, err
	}
	audit := s.Audit
	if err == nil && linksWork && g.listed && len(g.missing) == 0 && g.linked(root) {
		audit = func(ctx context.Context, want issue.Set) ([]string, error) {
			if want.Swap == issue.SwapFiles {
				return s.Audit(ctx, want)
			}
			return g.audit(gen, want)
		}
	}
	return g.set, issue.Version(gen), audit, errors.Join(err, root.Close())
}

// linked tells whether every file stands under its name as a link of ours.
func (g generation) linked(root *durable.Dir) bool {
	for name := range g.set.Files {
		if target, err := root.Readlink(name); err != nil || target != filepath.Join(dataLink, name) {
			return false
		}
	}
	return true
}

// audit is Audit by what was seen when the generation was read.
func (g generation) audit(gen string, want issue.Set) ([]string, error) {
	owner, err := lookupOwner(want.Owner, want.Group)
	if err != nil {
		return nil, err
	}
	a := &auditor{gen: gen, files: g.set.Files, want: want, owner: owner}
	a.directory(g.mode)
	for _, name := range g.set.Files.Names() {
		a.access(name, g.infos[name], a.mode(name))
	}
	return a.found, nil
}

// auditor compares one generation with what is wanted.
type auditor struct {
	root, dir *durable.Dir
	gen       string
	files     issue.Files
	want      issue.Set
	owner     owner
	plain     bool
	found     []string
}

// names opens the generation and says which files it has, and which are secret:
// what the caller says of that saves a look.
func (a *auditor) names() (*durable.Dir, issue.Files, error) {
	if len(a.want.Files) > 0 {
		dir, err := a.root.Open(a.gen)
		return dir, a.want.Files, err
	}
	dir, m, err := openGeneration(a.root, a.gen)
	if err != nil {
		return nil, nil, err
	}
	names := m.Files
	if names == nil {
		if names, err = filesIn(dir); err != nil {
			dir.Close()
			return nil, nil, err
		}
	}
	files := issue.Files{}
	for _, name := range names {
		files[name] = issue.File{Secret: slices.Contains(m.Secret, name)}
	}
	return dir, files, nil
}

// say adds a finding, once: a copy may differ in the same as what it is a copy of.
func (a *auditor) say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(a.found, text) {
		a.found = append(a.found, text)
	}
}

func (a *auditor) directory(mode fs.FileMode) {
	if modesWork && mode != dirMode {
		a.say("the directory of the set has mode %04o and should have %04o", mode, dirMode)
	}
}

// mode is the one that a file should have.
func (a *auditor) mode(name string) fs.FileMode {
	switch {
	case !a.files[name].Secret:
		return publicMode
	case a.want.Mode != 0:
		return a.want.Mode
	}
	return secretMode
}

// file looks at a file of the generation, and at what stands under its name.
func (a *auditor) file(name string) error {
	info, err := a.dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		a.say("%s is missing", name)
		return nil
	}
	if err != nil {
		return damaged(a.gen, name, err)
	}
	mode := a.mode(name)
	a.access(name, info, mode)
	is, err := standsAt(a.root, name)
	if err != nil {
		return err
	}
	switch {
	case is == nothing:
		a.say("%s is missing", name)
	case is == theirs && a.plain:
		a.say("%s is not as it was written", name)
	case is == theirs:
		a.say("%s is no link to the set: somebody has replaced it", name)
	case is == ourLink && a.plain:
		a.say("%s is a link and should be a file", name)
	case is == ourCopy && !a.plain:
		a.say("%s is a file and should be a link", name)
	case is == ourCopy:
		return a.copy(name, info.Size, mode)
	}
	return nil
}

// copy looks at a plain file.
func (a *auditor) copy(name string, size int64, mode fs.FileMode) error {
	if !isCopyOf(a.root, a.gen, name, size) {
		a.say("%s is still that of an earlier set", name)
		return nil
	}
	info, err := a.root.Lstat(name)
	if err != nil {
		return err
	}
	a.access(name, info, mode)
	return nil
}

// access compares a file's mode, owner and group.
func (a *auditor) access(name string, info durable.Info, mode fs.FileMode) {
	if is := info.Mode.Perm(); modesWork && is != mode {
		a.say("%s has mode %04o and should have %04o", name, is, mode)
	}
	is := ownerOf(info)
	if a.owner.uid >= 0 && is.uid != a.owner.uid {
		a.say("%s belongs to %s and should belong to %s", name, userName(is.uid), a.want.Owner)
	}
	if a.owner.gid >= 0 && is.gid != a.owner.gid {
		a.say("%s has group %s and should have %s", name, groupName(is.gid), a.want.Group)
	}
}
