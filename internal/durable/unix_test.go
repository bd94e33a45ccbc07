//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// umask sets the process's mask for one test.
func umask(t *testing.T, mask int) {
	t.Helper()
	old := unix.Umask(mask)
	t.Cleanup(func() { unix.Umask(old) })
}

func mode(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestModes(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		umask(t, mask)
		for _, want := range []fs.FileMode{0o600, 0o640, 0o644, 0o400, 0o444, 0o660} {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o700); err != nil { // the mask was there already
				t.Fatal(err)
			}
			name := filepath.Join(dir, "file")
			for _, before := range []fs.FileMode{0, 0o666, 0o400} { // whatever stood there before
				if before != 0 {
					if err := os.Chmod(name, before); err != nil {
						t.Fatal(err)
					}
				}
				if err := WriteFile(name, []byte("x"), want); err != nil {
					t.Fatal(err)
				}
				if got := mode(t, name); got != want {
					t.Errorf("umask %03o: mode %o; want %o", mask, got, want)
				}
			}
		}
	}
}

// TestSecretFromTheFirstByte watches the directory while a key is written: at no
// time is there a file that others may read, even without any umask.
func TestSecretFromTheFirstByte(t *testing.T) {
	umask(t, 0)
	dir := t.TempDir()
	var seen atomic.Int32
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Error(err)
			}
			for _, e := range entries {
				info, err := os.Lstat(filepath.Join(dir, e.Name()))
				if err != nil {
					continue // renamed in the meantime
				}
				if e.Name() != "tls.key" {
					seen.Add(1)
				}
				if info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s has mode %o while it is written", e.Name(), info.Mode().Perm())
					return
				}
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	data := make([]byte, 1<<20)
	for n := 0; n < 500 && (n < 20 || seen.Load() == 0); n++ {
		if err := WriteFile(filepath.Join(dir, "tls.key"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	watch.Wait()
	if seen.Load() == 0 {
		t.Error("no file was ever seen while it was written: the test proves nothing")
	}
}

// TestCreateAllModes: each file has its mode before a byte is written, whatever the
// umask; what Finish changes stays.
func TestCreateAllModes(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077} {
		dir := t.TempDir()
		umask(t, mask)
		files := credential()
		for i, n := range files {
			files[i].Finish = func(f *os.File) error {
				info, err := f.Stat()
				if err != nil || info.Mode().Perm() != n.Mode {
					t.Errorf("umask %03o: %s is finished with mode %v, %v", mask, n.Name, info.Mode(), err)
				}
				if n.Name == "tls.key" {
					return f.Chmod(0o640)
				}
				return nil
			}
		}
		if err := CreateAll(openDir(t, dir), files, nil); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]fs.FileMode{"tls.crt": 0o644, "tls.key": 0o640, "empty": 0o400} {
			if got := mode(t, filepath.Join(dir, name)); got != want {
				t.Errorf("umask %03o: %s has mode %o; want %o", mask, name, got, want)
			}
		}
	}
}

// TestSymbolicLink: a link is replaced by the file; what it points to stays.
func TestSymbolicLink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "link"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	only(t, dir, "link", "new")
	if read(t, target) != "old" {
		t.Error("the file behind the link was changed")
	}
}

// TestMkdirAllLinks: a link to a directory is one; a link to nothing is in the way.
func TestMkdirAllLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "good")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nothing"), filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(dir, "good", "a"), 0o700); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"dangling", "dangling/a"} {
		err := MkdirAll(filepath.Join(dir, name), 0o700)
		if _, missing := os.Stat(filepath.Join(dir, name)); err == nil && missing != nil {
			t.Errorf("%s is reported as made and is not there", name)
		}
	}
}

func TestMkdirAllModes(t *testing.T) {
	umask(t, 0o022)
	dir := t.TempDir()
	if err := MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(dir, "a", "b", "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"a": 0o755, "a/b": 0o755, "a/b/keys": 0o700} {
		if got := mode(t, filepath.Join(dir, name)); got != want {
			t.Errorf("%s has mode %o; want %o", name, got, want)
		}
	}
}

// TestDiskFull: the disk is full half-way. A limit on the size of files stands in
// for it, in a process of its own.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	again(t, "full", dir)
	only(t, dir, "file", "old")
}

// full is TestDiskFull's other process.
func full(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: 4096}); err != nil {
		t.Skip(err)
	}
	err := WriteFile("file", make([]byte, 8192), 0o600)
	if !errors.Is(err, unix.EFBIG) {
		t.Errorf("a full disk: %v; want %v", err, unix.EFBIG)
	}
	if want := "write file: file too large"; err == nil || err.Error() != want {
		t.Errorf("it reads %v; want %s", err, want)
	}
	root := openDir(t, ".")
	for _, n := range []string{"small", "large"} {
		// What is left of a failed set is for the caller; a single file takes itself away.
		if err := root.Create(n, make([]byte, 8192), 0o600); !errors.Is(err, unix.EFBIG) {
			t.Errorf("a full disk: %v; want %v", err, unix.EFBIG)
		}
	}
	err = CreateAll(root, []NewFile{{Name: "small", Data: []byte("x"), Mode: 0o600}, {Name: "large", Data: make([]byte, 8192), Mode: 0o600}}, nil)
	if want := "write large: file too large"; !errors.Is(err, unix.EFBIG) || err.Error() != want {
		t.Errorf("it reads %v; want %s", err, want)
	}
	for _, n := range []string{"small", "large"} {
		if err := root.Remove(n); err != nil {
			t.Error(err)
		}
	}
}
