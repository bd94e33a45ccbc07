package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// credential is a set of files as an issued certificate is.
func credential() []NewFile {
	return []NewFile{
		{Name: "tls.crt", Data: []byte("certificate"), Mode: 0o644},
		{Name: "tls.key", Data: []byte(strings.Repeat("key", 100_000)), Mode: 0o600},
		{Name: "empty", Mode: 0o400},
	}
}

func openDir(t *testing.T, path string) *Dir {
	t.Helper()
	dir, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

func TestCreateAll(t *testing.T) {
	dir := t.TempDir()
	set, err := openDir(t, dir).Mkdir("set", 0o700)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	files := credential()
	var finished *os.File
	files[1].Finish = func(f *os.File) error {
		finished = f
		info, err := f.Stat()
		if err != nil || info.Size() != int64(len(files[1].Data)) {
			t.Errorf("finished at %v bytes, %v", info, err)
		}
		return err
	}
	if err := CreateAll(set, files, nil); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Join(dir, "set")); len(got) != len(files) {
		t.Errorf("the directory holds %q", got)
	}
	for _, n := range files {
		if got := read(t, filepath.Join(dir, "set", n.Name)); got != string(n.Data) {
			t.Errorf("%s holds %d bytes; want %d", n.Name, len(got), len(n.Data))
		}
	}
	if finished == nil {
		t.Fatal("it was not finished")
	}
	if _, err := finished.Stat(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a file is left open: %v", err)
	}
	if err := CreateAll(set, nil, nil); err != nil {
		t.Errorf("no files: %v", err)
	}
}

// TestCreateAllFails: each mistake is told with the name of its file, what was
// there stays, and no file is left open.
func TestCreateAllFails(t *testing.T) {
	spoiled := errors.New("the owner is unknown")
	for name, c := range map[string]struct {
		change func([]NewFile)
		at     string // the file that the error names
		want   error
	}{
		"exists":       {func(n []NewFile) { n[2].Name = "old" }, "old", fs.ErrExist},
		"twice":        {func(n []NewFile) { n[2].Name = "tls.crt" }, "tls.crt", fs.ErrExist},
		"no directory": {func(n []NewFile) { n[0].Name = "missing/tls.crt" }, filepath.Join("missing", "tls.crt"), fs.ErrNotExist},
		"not finished": {func(n []NewFile) { n[1].Finish = func(*os.File) error { return spoiled } }, "tls.key", spoiled},
		"outside":      {func(n []NewFile) { n[0].Name = filepath.Join("..", "x") }, filepath.Join("..", "x"), nil},
		"no name":      {func(n []NewFile) { n[0].Name = "" }, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			files := credential()
			var opened []*os.File
			files[0].Finish = func(f *os.File) error { opened = append(opened, f); return nil }
			c.change(files)
			err := CreateAll(openDir(t, dir), files, nil)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("%v; want %v", err, c.want)
			}
			if text := err.Error(); !strings.HasPrefix(text, "write "+filepath.Join(dir, c.at)+": ") || strings.Contains(text, "\n") {
				t.Errorf("it reads %q", text)
			}
			if read(t, filepath.Join(dir, "old")) != "old" {
				t.Error("what was there was changed")
			}
			for _, f := range opened {
				if _, err := f.Stat(); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("a file is left open: %v", err)
				}
			}
		})
	}
}
