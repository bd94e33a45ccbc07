package file

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// asNobody runs f without root's rights. The rights are a thread's own: this one
// ends with f.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	var all sync.WaitGroup
	all.Go(func() {
		runtime.LockOSThread()
		if err := syscall.Setfsgid(65534); err != nil {
			t.Error(err)
			return
		}
		if err := syscall.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	})
	all.Wait()
}

// openTo makes a temporary directory one that everybody may look into.
func openTo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()+string(filepath.Separator)); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadOnlyPlace(t *testing.T) {
	dir := openTo(t)
	s := NewStore(filepath.Join(dir, "tls"))
	v := mustSave(t, s, issue.Set{Files: issue.Files{"tls.crt": {Data: []byte("old")}}}, "")
	if err := os.Chmod(s.path, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(s.path, 0o755)
	before := readTree(t, dir)
	asNobody(t, func() {
		if set, _, err := s.Load(t.Context()); err != nil || string(set.Files["tls.crt"].Data) != "old" {
			t.Errorf("load: %q, %v", set.Files.Names(), err)
		}
		for what, err := range map[string]error{
			"save":    saveError(t, s, v),
			"prepare": s.Prepare(t.Context(), small("new")),
		} {
			if !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), "cannot be written") {
				t.Errorf("%s: error %v", what, err)
			}
		}
		below := NewStore(filepath.Join(s.path, "a", "b"))
		for what, err := range map[string]error{"save": saveError(t, below, ""), "prepare": below.Prepare(t.Context(), small("new"))} {
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), s.path) {
				t.Errorf("%s below it: error %v", what, err)
			}
		}
	})
	wantUnchanged(t, dir, before)
}

// A file that this user may give no second name cannot be kept aside, so it is not
// replaced, and nothing is left of the attempt.
func TestAnothersFileIsNotReplaced(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	dir := openTo(t)
	s := NewStore(filepath.Join(dir, "tls"))
	if err := os.Mkdir(s.path, dirMode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(s.path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	plant(t, s, "tls.key")
	before := readTree(t, s.path)
	said := childAsNobody(t, "replace", s.path)
	if said == "" {
		t.Skip("here everybody may give any file a second name")
	}
	if !strings.Contains(said, "keep tls.key aside: operation not permitted") {
		t.Errorf("error %q, want one that names tls.key", said)
	}
	wantUnchanged(t, s.path, before)
}

// childAsNobody does a task in a process of nobody's, to its end, and gives what it
// printed.
func childAsNobody(t *testing.T, task, path string) string {
	t.Helper()
	out, err := commandAsNobody(t, task, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func commandAsNobody(t *testing.T, task, path string) *exec.Cmd {
	t.Helper()
	// The test's own binary lies where nobody else may look.
	c := exec.CommandContext(t.Context(), "/proc/self/exe")
	c.Dir = "/"
	c.Env = append(os.Environ(), childTask+"="+task, childPath+"="+path)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return c
}

func saveError(t *testing.T, s *Store, was issue.Version) error {
	_, err := s.Save(t.Context(), small("new"), was)
	return err
}

func TestUnreadablePlace(t *testing.T) {
	dir := openTo(t)
	s := NewStore(filepath.Join(dir, "closed", "tls"))
	mustSave(t, s, small("old"), "")
	secret := NewStore(filepath.Join(dir, "open"))
	mustSave(t, secret, small("old"), "")
	if err := os.Chmod(filepath.Dir(s.path), 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("the owner may read everything")
	}
	asNobody(t, func() {
		for what, place := range map[string]*Store{"a place that is closed": s, "a place with a secret": secret} {
			if _, _, err := place.Load(t.Context()); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s: error %v", what, err)
			}
		}
	})
}

func TestDeniedDirectory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	dir := openTo(t)
	d, err := Init(t.Context(), filepath.Join(dir, "pki"), initOptions())
	if err != nil {
		t.Fatal(err)
	}
	before := readTree(t, dir)
	asNobody(t, func() {
		all, err := d.Authorities()
		if err != nil || len(all) != 2 {
			t.Errorf("%d authorities, %v", len(all), err)
		}
		if _, err := d.Issuer("", KeySource{}); err == nil {
			t.Error("somebody else read the key")
		}
		if err := d.Ledger().Record(t.Context(), entry(0)); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("record: error %v", err)
		}
		wantEntryCount(t, d.Ledger(), 2)
		if _, err := Init(t.Context(), d.Path(), initOptions()); !errors.Is(err, ErrExists) {
			t.Errorf("init: error %v", err)
		}
		if _, err := Init(t.Context(), filepath.Join(dir, "new"), initOptions()); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("init elsewhere: error %v", err)
		}
	})
	wantUnchanged(t, dir, before)
}

// smallDisk is a file system of a few pages, gone after the test.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "size=256k")
	s := NewStore(filepath.Join(disk, "tls"))
	v := mustSave(t, s, small("old"), "")
	l := NewLedger(disk)
	record(t, l, 3)
	before := readTree(t, disk)
	big := small("big")
	big.Files["z.crt"] = issue.File{Data: make([]byte, 300<<10)}
	if _, err := s.Save(t.Context(), big, v); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("save: error %v", err)
	}
	wantUnchanged(t, disk, before)

	// Now not a page is left.
	f, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err = f.Write(make([]byte, 4096)); err == nil; {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	before = readTree(t, disk)
	long := entry(3)
	long.Certificate = make([]byte, 8192)
	for what, err := range map[string]error{
		"save":            saveError(t, s, v),
		"prepare":         s.Prepare(t.Context(), small("new")),
		"prepare a first": NewStore(filepath.Join(disk, "other")).Prepare(t.Context(), small("new")),
		"record":          l.Record(t.Context(), long),
	} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	wantUnchanged(t, disk, before)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, small("new"), v)
	if err := l.Record(t.Context(), long); err != nil {
		t.Error(err)
	}
	wantLedger(t, l, append(entries(3), long))
}

// However few pages or names there are, Init makes all of an authority or nothing.
func TestInitOnFullDisk(t *testing.T) {
	for _, options := range []string{"size=4k", "size=8k", "size=12k", "size=16k", "nr_inodes=3", "nr_inodes=6", "nr_inodes=9", "nr_inodes=12"} {
		t.Run(options, func(t *testing.T) {
			path := filepath.Join(smallDisk(t, options), "pki")
			_, err := Init(t.Context(), path, initOptions())
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("error %v", err)
			}
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				return
			}
			wantOnlyLock(t, path)
		})
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	disk := smallDisk(t, "size=256k")
	s := NewStore(filepath.Join(disk, "tls"))
	v := mustSave(t, s, small("old"), "")
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	wantText(t, s, "old")
	for what, err := range map[string]error{
		"save":    saveError(t, s, v),
		"prepare": s.Prepare(t.Context(), small("new")),
		"init":    func() error { _, err := Init(t.Context(), filepath.Join(disk, "pki"), initOptions()); return err }(),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}
