package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// wantUsable opens a directory as a command would: both authorities are there
// with their keys, the ledger holds exactly them, and the intermediate issues.
func wantUsable(t *testing.T, path string) {
	t.Helper()
	d, err := Open(path, clock)
	if err != nil {
		t.Fatal(err)
	}
	all, err := d.Authorities()
	if err != nil || len(all) != 2 || all[0].Name != RootName || all[1].Name != "issuing" {
		t.Fatalf("authorities %v, %v", all, err)
	}
	entries, err := readLedger(t, d.Ledger())
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, a := range all {
		if e := entries[i]; e.Kind != ca.KindCA || string(e.Certificate) != string(a.Certificate.Raw) {
			t.Errorf("entry %d is not that of %s", i, a.Name)
		}
		issuer, err := d.Issuer(a.Name, KeySource{})
		if err != nil {
			t.Fatal(err)
		}
		issueOne(t, issuer)
	}
	for _, leftover := range []string{stagingName, readyName} {
		if _, err := os.Lstat(filepath.Join(path, leftover)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", leftover, err)
		}
	}
}

func issueOne(t *testing.T, a ca.Authority) *issue.Credential {
	t.Helper()
	c, err := issue.Obtain(t.Context(), a, leafOrder(t), start)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func leafOrder(t *testing.T) issue.Order {
	t.Helper()
	profile, err := ca.ProfileByName("")
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.NewIdentity(ca.Names{DNS: []string{"payment.prod"}})
	if err != nil {
		t.Fatal(err)
	}
	return issue.Order{Service: "payment", Namespace: "prod", Identity: id, Profile: profile, KeyType: ca.ECP256,
		Validity: ca.Validity{NotAfter: start.Add(time.Hour)}}
}

func TestInit(t *testing.T) {
	d := newDirectory(t)
	wantUsable(t, d.Path())
	if got, want := d.Settings(), initOptions().Settings; got.Name != want.Name || got.TrustDomain != want.TrustDomain || got.Issuing != want.Issuing {
		t.Errorf("settings %+v, want %+v", got, want)
	}
	before := readTree(t, d.Path())
	if _, err := Init(t.Context(), d.Path(), initOptions()); !errors.Is(err, ErrExists) {
		t.Errorf("a second time: error %v, want ErrExists", err)
	}
	wantUnchanged(t, d.Path(), before)
}

func TestInitBesideAManifest(t *testing.T) {
	path := t.TempDir()
	write(t, filepath.Join(path, "meshpki.yaml"), []byte("apiVersion: meshpki/v1\n"))
	if err := os.Mkdir(filepath.Join(path, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(t.Context(), path, initOptions()); err != nil {
		t.Fatal(err)
	}
	wantUsable(t, path)
	if got := read(t, filepath.Join(path, "meshpki.yaml")); string(got) != "apiVersion: meshpki/v1\n" {
		t.Errorf("the manifest is %q", got)
	}
}

func TestInitRefuses(t *testing.T) {
	for name, fill := range map[string]func(path string) error{
		"a file":        func(path string) error { return os.WriteFile(filepath.Join(path, "notes.txt"), []byte("mine"), 0o644) },
		"a hidden file": func(path string) error { return os.WriteFile(filepath.Join(path, ".git"), nil, 0o644) },
		"a directory":   func(path string) error { return os.MkdirAll(filepath.Join(path, "keys", "mine"), 0o755) },
		"parts of ours": func(path string) error { return os.Mkdir(filepath.Join(path, caDir), 0o755) },
		"a file and staging": func(path string) error {
			return errors.Join(os.Mkdir(filepath.Join(path, stagingName), 0o755), os.Mkdir(filepath.Join(path, "x"), 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			if err := fill(path); err != nil {
				t.Fatal(err)
			}
			before := readTree(t, path)
			if _, err := Init(t.Context(), path, initOptions()); !errors.Is(err, ErrNotEmpty) {
				t.Errorf("error %v, want ErrNotEmpty", err)
			}
			wantUnchanged(t, path, before)
		})
	}
	for _, issuing := range []string{"", RootName, "../up", "UPPER", "a/b", "-", strings.Repeat("n", 64), "nul\x00"} {
		path := filepath.Join(t.TempDir(), "pki")
		o := initOptions()
		o.Settings.Issuing = issuing
		if _, err := Init(t.Context(), path, o); err == nil {
			t.Errorf("an intermediate called %q was made", issuing)
		} else if _, err := os.Stat(path); err == nil {
			t.Errorf("a directory was made for an intermediate called %q", issuing)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "pki")
	if _, err := Init(ctx, path, initOptions()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	} else if _, err := os.Stat(path); err == nil {
		t.Error("a directory was made after the context had ended")
	}
}

// What cannot be certified leaves nothing behind.
func TestInitOfImpossibleCAs(t *testing.T) {
	for name, spoil := range map[string]func(*InitOptions){
		"a root that ends before it begins":     func(o *InitOptions) { o.Root.NotAfter = o.Root.NotBefore.Add(-time.Hour) },
		"an intermediate outliving its root":    func(o *InitOptions) { o.Issuing.NotAfter = o.Root.NotAfter.Add(time.Hour) },
		"a root that lets no CA stand below":    func(o *InitOptions) { o.Root.MaxPathLen = 0 },
		"a key type that is none":               func(o *InitOptions) { o.KeyType = "dsa" },
		"a common name with control characters": func(o *InitOptions) { o.Issuing.CommonName = "a\x1b[31m" },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pki")
			o := initOptions()
			o.OfflineRoot = filepath.Join(t.TempDir(), "root.key")
			spoil(&o)
			if _, err := Init(t.Context(), path, o); err == nil {
				t.Fatal("it was made")
			}
			wantOnlyLock(t, path)
			if _, err := os.Stat(o.OfflineRoot); err == nil {
				t.Error("the root's key is left")
			}
			if _, err := Init(t.Context(), path, initOptions()); err != nil {
				t.Errorf("then with what can be: %v", err)
			}
		})
	}
}

// wantOnlyLock is for a directory in which an Init failed: the lock's file stays.
func wantOnlyLock(t *testing.T, path string) {
	t.Helper()
	for name := range readTree(t, path) {
		if name != "." && name != lockName {
			t.Errorf("%s is left", name)
		}
	}
}

func TestTwoInitsAtOnce(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "pki")
		errs := make([]error, 6)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { _, errs[i] = Init(t.Context(), path, initOptions()) })
		}
		all.Wait()
		made := 0
		for _, err := range errs {
			switch {
			case err == nil:
				made++
			case !errors.Is(err, ErrExists):
				t.Errorf("error %v, want ErrExists", err)
			}
		}
		if made != 1 {
			t.Errorf("%d of %d made an authority", made, len(errs))
		}
		wantUsable(t, path)
	}
}

func TestInitInManyProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pki")
	made := 0
	for _, said := range runChildren(t, 6, "init", path) {
		switch said {
		case "made\n":
			made++
		case "exists\n":
		default:
			t.Errorf("a process said %q", said)
		}
	}
	if made != 1 {
		t.Errorf("%d processes made an authority", made)
	}
	wantUsable(t, path)
}

func initTask(path string) error {
	_, err := Init(context.Background(), path, initOptions())
	switch {
	case err == nil:
		fmt.Println("made")
	case errors.Is(err, ErrExists):
		fmt.Println("exists")
	default:
		return err
	}
	return nil
}

// staged makes a directory as an Init leaves it that is killed when everything is
// staged, and gives a handle on it.
func staged(t *testing.T) (string, *durable.Dir) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pki")
	if err := os.Mkdir(path, dirMode); err != nil {
		t.Fatal(err)
	}
	root, err := durable.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if _, err := stage(t.Context(), root, path, initOptions()); err != nil {
		t.Fatal(err)
	}
	return path, root
}

func wantNoDirectory(t *testing.T, path string) {
	t.Helper()
	if _, err := Open(path, clock); !errors.Is(err, ErrNoDirectory) {
		t.Errorf("open: error %v, want ErrNoDirectory", err)
	}
}

// A process that dies while it stages leaves nothing that counts: however much of
// it is there, the next Init begins anew.
func TestInitKilledWhileStaging(t *testing.T) {
	path, _ := staged(t)
	everything := slices.Sorted(maps.Keys(readTree(t, path)))[1:] // the directory itself comes first
	for n := range len(everything) + 1 {
		path, root := staged(t)
		for _, name := range everything[n:] {
			if err := root.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
		wantNoDirectory(t, path)
		if _, err := Init(t.Context(), path, initOptions()); err != nil {
			t.Fatalf("after %d of %d steps: %v", n, len(everything), err)
		}
		wantUsable(t, path)
	}
}

// From the renaming on the authority exists: the next Init finishes, wherever
// between two moves the first was killed, and so does one that is killed in turn.
func TestInitKilledWhileMoving(t *testing.T) {
	for moved := range len(parts) + 1 {
		t.Run(fmt.Sprintf("%d parts moved", moved), func(t *testing.T) {
			path, root := staged(t)
			if err := commit(root, "", nil); err != nil {
				t.Fatal(err)
			}
			for _, part := range parts[:moved] {
				if err := root.Rename(filepath.Join(readyName, part), part); err != nil {
					t.Fatal(err)
				}
			}
			if moved < len(parts) {
				wantNoDirectory(t, path)
			} else if _, err := Open(path, clock); err != nil {
				t.Errorf("open: %v", err)
			}
			fingerprint := read(t, rootFile(path, moved))
			if _, err := Init(t.Context(), path, initOptions()); !errors.Is(err, ErrRecovered) {
				t.Fatalf("error %v, want ErrRecovered", err)
			}
			wantUsable(t, path)
			if got := read(t, rootFile(path, len(parts))); string(got) != string(fingerprint) {
				t.Error("another root was made")
			}
			if _, err := Init(t.Context(), path, initOptions()); !errors.Is(err, ErrExists) {
				t.Errorf("a third time: error %v, want ErrExists", err)
			}
		})
	}
}

// rootFile is where the root's certificate is after so many parts were moved.
func rootFile(path string, moved int) string {
	if moved <= slices.Index(parts, caDir) {
		path = filepath.Join(path, readyName)
	}
	return filepath.Join(path, caDir, RootName+".crt")
}

// What is ready and not whole is not made up for.
func TestInitOfAnIncompleteDirectory(t *testing.T) {
	for _, part := range parts {
		path, root := staged(t)
		if err := commit(root, "", nil); err != nil {
			t.Fatal(err)
		}
		if err := root.RemoveAll(filepath.Join(readyName, part)); err != nil {
			t.Fatal(err)
		}
		if _, err := Init(t.Context(), path, initOptions()); !errors.Is(err, errIncomplete) {
			t.Errorf("without %s: error %v", part, err)
		}
		wantNoDirectory(t, path)
	}
}

func TestOfflineRoot(t *testing.T) {
	o := initOptions()
	o.OfflineRoot = filepath.Join(t.TempDir(), "root.key")
	o.RootPassphrase, o.Passphrase = []byte("for the root"), []byte("for the intermediate")
	path := filepath.Join(t.TempDir(), "pki")
	d, err := Init(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(o.OfflineRoot)
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the root's key: %v, %v", info, err)
	}
	if _, err := os.Stat(d.keyPath(RootName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the root's key is in the directory too: %v", err)
	}
	root, err := d.Authority(RootName)
	if err != nil || root.KeyPath != "" {
		t.Errorf("the root's key is said to be at %q, %v", root.KeyPath, err)
	}
	if _, err := d.Issuer(RootName, KeySource{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("error %v, want ErrNoKey", err)
	}
	pass := func(text string) func(string) ([]byte, error) {
		return func(string) ([]byte, error) { return []byte(text), nil }
	}
	if _, err := d.Issuer(RootName, KeySource{File: o.OfflineRoot, Passphrase: pass("for the root")}); err != nil {
		t.Error(err)
	}
	if _, err := d.Issuer("", KeySource{Passphrase: pass("for the root")}); !errors.Is(err, pemfile.ErrWrongPassphrase) {
		t.Errorf("error %v, want ErrWrongPassphrase", err)
	}
	if _, err := d.Issuer("", KeySource{}); !errors.Is(err, pemfile.ErrKeyEncrypted) {
		t.Errorf("error %v, want ErrKeyEncrypted", err)
	}
	issuing, err := d.Issuer("", KeySource{Passphrase: pass("for the intermediate")})
	if err != nil {
		t.Fatal(err)
	}
	issueOne(t, issuing)
	if _, err := d.Issuer("", KeySource{File: o.OfflineRoot, Passphrase: pass("for the root")}); err == nil {
		t.Error("the root's key was taken for the intermediate's")
	}
}

// The file for the root's key is never written over, and a key whose authority did
// not come to be is taken away again.
func TestOfflineRootFile(t *testing.T) {
	o := initOptions()
	o.OfflineRoot = filepath.Join(t.TempDir(), "root.key")
	write(t, o.OfflineRoot, []byte("another root's"))
	path := filepath.Join(t.TempDir(), "pki")
	if _, err := Init(t.Context(), path, o); !errors.Is(err, ErrKeyFile) {
		t.Errorf("error %v, want ErrKeyFile", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	staged, root := staged(t)
	if err := commit(root, o.OfflineRoot, []byte("key")); !errors.Is(err, ErrKeyFile) {
		t.Errorf("made meanwhile: error %v, want ErrKeyFile", err)
	}
	if got := read(t, o.OfflineRoot); string(got) != "another root's" {
		t.Errorf("the file now holds %q", got)
	}
	o.OfflineRoot += ".new"
	if err := os.RemoveAll(filepath.Join(staged, stagingName)); err != nil {
		t.Fatal(err)
	}
	if err := commit(root, o.OfflineRoot, []byte("key")); err == nil {
		t.Error("nothing was staged, and it was committed")
	}
	if _, err := os.Stat(o.OfflineRoot); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key without an authority is left: %v", err)
	}
	o.OfflineRoot = filepath.Join(t.TempDir(), "no", "such", "root.key")
	if _, err := Init(t.Context(), path, o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
}

// An offline authority passes the suite as well: its chain and roots do not need the root's key.
func TestOfflineAuthoritySuite(t *testing.T) {
	backendtest.TestAuthority(t, func(t *testing.T) ca.Authority {
		o := initOptions()
		o.OfflineRoot = filepath.Join(t.TempDir(), "root.key")
		o.KeyType = ca.Ed25519
		d, err := Init(t.Context(), filepath.Join(t.TempDir(), "pki"), o)
		if err != nil {
			t.Fatal(err)
		}
		issuer, err := d.Issuer("issuing", KeySource{})
		if err != nil {
			t.Fatal(err)
		}
		return issuer
	}, backendtest.AuthorityOptions{Now: clock, KeyTypes: []ca.KeyType{ca.Ed25519}, Longest: start.AddDate(3, 0, 0)})
}
