//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asRoot passes a test over that only root's rights can show.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root is led astray")
	}
}

const other = 65534

// lay makes directories, files and links, each with its owner and mode.
func lay(t *testing.T, base string, entries []entry) {
	t.Helper()
	for _, e := range entries {
		path := filepath.Join(base, e.path)
		var err error
		switch {
		case e.link != "":
			err = os.Symlink(strings.ReplaceAll(e.link, "BASE", base), path)
		case e.mode.IsDir():
			err = os.Mkdir(path, 0o755)
		default:
			err = os.WriteFile(path, nil, 0o644)
		}
		if err == nil {
			err = os.Lchown(path, e.uid, e.uid)
		}
		if err == nil && e.link == "" {
			err = os.Chmod(path, e.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

type entry struct {
	path string
	uid  int
	mode fs.FileMode
	link string
}

func TestOpenRootJudgesTheWay(t *testing.T) {
	asRoot(t)
	base := t.TempDir()
	dir := func(path string, uid int, perm fs.FileMode) entry { return entry{path, uid, perm | fs.ModeDir, ""} }
	lay(t, base, []entry{
		dir("good", 0, 0o755), dir("good/deep", 0, 0o700),
		dir("group", 0, 0o775), dir("group/deep", 0, 0o755),
		dir("all", 0, 0o757), dir("all/deep", 0, 0o755),
		dir("sticky", 0, 0o777|fs.ModeSticky), dir("sticky/roots", 0, 0o755), dir("sticky/others", other, 0o755),
		{path: "sticky/link", uid: other, link: "../good"}, {path: "sticky/rootslink", link: "../good"},
		dir("home", other, 0o755), dir("home/deep", other, 0o700), dir("home/roots", 0, 0o755), dir("home/third", 1234, 0o755),
		dir("home/wide", other, 0o777), dir("home/group", other, 0o775),
		{path: "home/link", uid: other, link: "../good"}, {path: "home/rootslink", link: "deep"},
		{path: "link", link: "good/deep"}, {path: "absolute", link: "BASE/good"}, {path: "round", link: "round"},
		{path: "up", link: "home/../good"}, {path: "tohome", link: "home"},
	})
	theirs := Owner{other, None}
	for path, c := range map[string]struct {
		owner   Owner
		culprit string // the error names it; "" is none
	}{
		"good":             {theirs, ""},
		"good/deep":        {Owner{None, None}, ""},
		"link":             {Owner{None, None}, ""},
		"absolute/deep":    {Owner{None, None}, ""},
		"group":            {theirs, "group may be written by group root"},
		"group/deep":       {theirs, "group may be written by group root"},
		"all/deep":         {theirs, "all may be written by everybody"},
		"sticky":           {theirs, "sticky may be written by everybody"},
		"sticky/roots":     {Owner{None, None}, ""},
		"sticky/others":    {theirs, ""},
		"sticky/link":      {theirs, "sticky/link is a link that others can change"},
		"sticky/rootslink": {theirs, ""},
		"home":             {theirs, ""},
		"tohome/deep":      {theirs, ""},
		"home/deep":        {theirs, ""},
		"home/roots":       {theirs, ""},
		"home/third":       {theirs, "home/third belongs to "},
		"home/wide":        {theirs, "home/wide may be written by everybody"},
		"home/group":       {theirs, "home/group may be written by group "},
		"home/link":        {theirs, "home/link is a link that others can change"},
		"home/rootslink":   {theirs, "home/rootslink is a link that others can change"},
		"up":               {theirs, "home is left again"},
	} {
		root, err := OpenRoot(filepath.Join(base, path), c.owner)
		if err == nil {
			root.Close()
		}
		u, untrusted := errors.AsType[*UntrustedError](err)
		switch {
		case c.culprit == "" && err != nil:
			t.Errorf("%s: %v", path, err)
		case c.culprit != "" && (!untrusted || !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(u.Path+" "+u.Problem, filepath.Join(base, c.culprit))):
			t.Errorf("%s: error %v, want one of %s", path, err, c.culprit)
		}
	}
	for path, owner := range map[string]Owner{"home": {None, None}, "home/deep": {1234, None}} {
		if _, err := OpenRoot(filepath.Join(base, path), owner); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s of another: error %v", path, err)
		}
	}
	for path, owner := range map[string]Owner{"home/group": {other, other}, "home/roots": {Any, Any}} {
		if root, err := OpenRoot(filepath.Join(base, path), owner); err != nil {
			t.Errorf("%s: %v", path, err)
		} else {
			root.Close()
		}
	}
	if _, err := OpenRoot(filepath.Join(base, "round"), theirs); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to itself: %v", err)
	}
	if _, err := OpenRoot(filepath.Join(base, "home", "missing"), theirs); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestOpenRootRelative(t *testing.T) {
	asRoot(t)
	base := t.TempDir()
	lay(t, base, []entry{
		{path: "good", mode: 0o755 | fs.ModeDir}, {path: "deep", mode: 0o755 | fs.ModeDir}, {path: "deep/real", mode: 0o755 | fs.ModeDir},
		{path: "deep/good", uid: other, mode: 0o755 | fs.ModeDir}, {path: "wide", mode: 0o777 | fs.ModeDir}, {path: "here", link: "deep/real"},
	})
	for _, c := range []struct {
		from, path string
		fine       bool
	}{
		{".", "good", true}, {".", "deep/real", true}, {".", "deep/good", false}, {".", "wide", false},
		{"deep", "../good", true}, {"deep", "../wide", false}, {"deep/real", ".", true}, {"wide", ".", false},
		// By the name it would be good, and it is deep/good.
		{"here", "../good", false},
	} {
		t.Chdir(filepath.Join(base, c.from))
		root, err := OpenRoot(c.path, Owner{None, None})
		if err == nil {
			root.Close()
		}
		if c.fine != (err == nil) || err != nil && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s from %s: error %v", c.path, c.from, err)
		}
	}
}

func TestTrusted(t *testing.T) {
	asRoot(t)
	base := t.TempDir()
	lay(t, base, []entry{
		{path: "hook", mode: 0o755}, {path: "wide", mode: 0o757}, {path: "group", mode: 0o664}, {path: "others", uid: other, mode: 0o755},
		{path: "sticky", mode: 0o757 | fs.ModeSticky}, {path: "link", link: "hook"}, {path: "towide", link: "wide"},
		{path: "home", uid: other, mode: 0o755 | fs.ModeDir}, {path: "home/hook", mode: 0o755},
	})
	for path, want := range map[string]bool{"hook": true, "link": true, "wide": false, "group": false, "others": false,
		"sticky": false, "towide": false, "home/hook": false} {
		err := Trusted(filepath.Join(base, path), None)
		if want != (err == nil) || err != nil && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := Trusted(filepath.Join(base, "others"), other); err != nil {
		t.Errorf("its owner's own: %v", err)
	}
	for _, path := range []string{"missing", "hook/below"} {
		if err := Trusted(filepath.Join(base, path), None); err == nil || errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestMakeRoot(t *testing.T) {
	umask(t, 0o077)
	base := t.TempDir()
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(base, "a", "b", "c")
	root, made, err := MakeRoot(deep, 0o755, Owner{None, None})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, dir := range []string{"a", "a/b", "a/b/c"} {
		if got := mode(t, filepath.Join(base, dir)); got != 0o755 {
			t.Errorf("%s has mode %o", dir, got)
		}
	}
	if err := made.Sync(); err != nil {
		t.Error(err)
	}
	again, none, err := MakeRoot(deep, 0o700, Owner{None, None})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := none.Undo(); err != nil || mode(t, deep) != 0o755 {
		t.Errorf("what was there was taken away or changed: %v", err)
	}
	if err := os.WriteFile(filepath.Join(base, "a", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := made.Undo(); err != nil {
		t.Error(err)
	}
	only(t, filepath.Join(base, "a"), "file", "")
	for _, below := range []string{"a/file/x", "a/file"} {
		if _, _, err := MakeRoot(filepath.Join(base, below), 0o755, Owner{None, None}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", below, err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(base, "dangling")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := MakeRoot(filepath.Join(base, "dangling", "x"), 0o755, Owner{None, None}); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("below a link to nowhere: %v", err)
	}
}
