package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// names lists a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// only fails unless the directory holds exactly that one file with that content.
func only(t *testing.T, dir, name, content string) {
	t.Helper()
	if got := names(t, dir); len(got) != 1 || got[0] != name {
		t.Errorf("the directory holds %q; want %q alone", got, name)
	}
	if got := read(t, filepath.Join(dir, name)); got != content {
		t.Errorf("%s holds %.40q of %d bytes; want %.40q of %d", name, got, len(got), content, len(content))
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "tls.key")
	for _, content := range []string{"first", "second, which is longer", "3", "", strings.Repeat("large ", 1<<20)} {
		if err := WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		only(t, dir, "tls.key", content)
	}
	t.Chdir(dir)
	if err := WriteFile("tls.key", []byte("by its bare name"), 0o600); err != nil {
		t.Fatal(err)
	}
	only(t, dir, "tls.key", "by its bare name")
}

// TestWriteFileNames: every name that the file system takes can be written.
func TestWriteFileNames(t *testing.T) {
	for _, name := range []string{"a", ".hidden", "with blank", "-dash", "naïve", strings.Repeat("n", 255)} {
		dir := t.TempDir()
		if err := WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Errorf("%.20q of %d bytes: %v", name, len(name), err)
			continue
		}
		only(t, dir, name, "x")
	}
}

// TestWriteFileFails: what was there stays, nothing is left over, and the error
// names the file that was to be written and not the one beside it.
func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "directory", "old")
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, name := range map[string]string{
		"a directory":       filepath.Join(dir, "directory"),
		"below a file":      filepath.Join(old, "new"),
		"below nothing":     filepath.Join(dir, "missing", "new"),
		"no name":           filepath.Join(dir, "directory") + string(filepath.Separator),
		"a name too long":   filepath.Join(dir, "directory", strings.Repeat("n", 256)),
		"a name with a NUL": filepath.Join(dir, "directory", "a\x00b"),
	} {
		err := WriteFile(name, []byte("new"), 0o600)
		if err == nil {
			t.Errorf("%s: written", what)
			continue
		}
		if text := err.Error(); strings.Contains(text, "\n") || regexp.MustCompile(`[0-9a-f]{16}`).MatchString(text) {
			t.Errorf("%s: %q", what, text)
		}
		only(t, filepath.Join(dir, "directory"), "old", "old")
		if got := names(t, dir); len(got) != 1 {
			t.Errorf("%s: left over: %q", what, got)
		}
	}
	if err := WriteFile(filepath.Join(dir, "missing", "new"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v; want fs.ErrNotExist", err)
	}
	if err := WriteFile("", nil, 0o600); err == nil {
		t.Error("a file without a name is written")
	}
}

// TestWriteFileWhole: readers and several writers at once; whoever reads gets the
// whole of what one of them wrote.
func TestWriteFileWhole(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not replace a file that somebody reads")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	content := func(n int) []byte { return bytes.Repeat([]byte{byte('a' + n)}, 1000*(n+1)) }
	if err := WriteFile(name, content(0), 0o600); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for n := range 4 {
		writers.Go(func() {
			for range 25 {
				if err := WriteFile(name, content(n), 0o600); err != nil {
					t.Error(err)
				}
			}
		})
		readers.Go(func() {
			for {
				data, err := os.ReadFile(name)
				if err != nil || len(data) == 0 || !bytes.Equal(data, content(int(data[0]-'a'))) {
					t.Errorf("read %d bytes, %v: not the whole of what was written", len(data), err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left over: %q", got)
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	root := openDir(t, dir)
	if err := root.Create("new", []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	only(t, dir, "new", "one")
	err := root.Create("new", []byte("two"), 0o600)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that exists: %v; want fs.ErrExist", err)
	}
	if !strings.Contains(fmt.Sprint(err), filepath.Join(dir, "new")) {
		t.Errorf("the error does not say which file: %v", err)
	}
	only(t, dir, "new", "one")
	for _, outside := range []string{"../new", filepath.Join(dir, "x"), "..", ".", "", "missing/new"} {
		if err := root.Create(outside, []byte("x"), 0o600); err == nil {
			t.Errorf("%q is created", outside)
		}
	}
	only(t, dir, "new", "one")
}

func TestCreateFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "new")
	if err := CreateFile(name, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CreateFile(name, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that exists: %v; want fs.ErrExist", err)
	}
	only(t, dir, "new", "one")
	if err := CreateFile(filepath.Join(dir, "missing", "new"), []byte("x"), 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v; want fs.ErrNotExist", err)
	}
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	isDir := func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.IsDir()
	}
	deep := filepath.Join(dir, "a", "b", "c")
	for _, name := range []string{deep, deep, dir, filepath.Join(dir, "d", "e") + string(filepath.Separator), filepath.Join(dir, "f", "..", "g")} {
		if err := MkdirAll(name, 0o700); err != nil || !isDir(name) {
			t.Errorf("%s: %v", strings.TrimPrefix(name, dir), err)
		}
	}
	t.Chdir(dir)
	for _, name := range []string{".", "h/i", "./j//k/", ".."} {
		if err := MkdirAll(name, 0o700); err != nil || !isDir(name) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := os.WriteFile("file", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "file", "file/", "file/below", "file/far/below", "nul\x00"} {
		if err := MkdirAll(name, 0o700); err == nil {
			t.Errorf("%q is made", name)
		}
	}
	if read(t, "file") != "old" {
		t.Error("a file in the way was changed")
	}
}

// TestMkdirAllTogether: several make the same tree at once, and all of them find it.
func TestMkdirAllTogether(t *testing.T) {
	dir := t.TempDir()
	for n := range 20 {
		var all sync.WaitGroup
		name := filepath.Join(dir, fmt.Sprint(n), "a", "b", "c")
		for range 8 {
			all.Go(func() {
				if err := MkdirAll(name, 0o700); err != nil {
					t.Error(err)
				}
				if info, err := os.Stat(name); err != nil || !info.IsDir() {
					t.Errorf("made, and not there: %v", err)
				}
			})
		}
		all.Wait()
	}
}

func TestSuffix(t *testing.T) {
	seen := map[string]bool{}
	form := regexp.MustCompile(`\A[0-9a-f]{16}\z`)
	for range 1000 {
		s := Suffix()
		if !form.MatchString(s) || seen[s] {
			t.Fatalf("%q: taken, or not 16 digits", s)
		}
		seen[s] = true
	}
}
