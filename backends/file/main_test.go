package file

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// What a process of its own is to do, and where: set by startChildren.
const (
	childTask = "MESHPKI_TEST_TASK"
	childPath = "MESHPKI_TEST_PATH"
)

// TestMain lets the test binary be a process of its own, for what only several of
// them can show.
func TestMain(m *testing.M) {
	task, child := os.LookupEnv(childTask)
	if !child {
		os.Exit(m.Run())
	}
	run := tasks[task]
	if run == nil {
		run = platformTasks[task]
	}
	if err := run(os.Getenv(childPath)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// runChildren starts n processes with the same task, at once, and gives what each
// of them printed.
func runChildren(t *testing.T, n int, task, path string) []string {
	t.Helper()
	type child struct {
		*exec.Cmd
		out []byte
		err error
	}
	children := make([]child, n)
	done := make(chan struct{})
	for i := range children {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), childTask+"="+task, childPath+"="+path)
		children[i].Cmd = c
		go func() {
			children[i].out, children[i].err = c.CombinedOutput()
			done <- struct{}{}
		}()
	}
	for range children {
		<-done
	}
	var said []string
	for i, c := range children {
		if c.err != nil {
			t.Fatalf("process %d: %v\n%s", i, c.err, c.out)
		}
		said = append(said, string(c.out))
	}
	return said
}

var start = time.Date(2026, 11, 21, 21, 40, 0, 0, time.UTC)

func clock() time.Time { return start }

// newPlace is a store in a directory that is not there yet.
func newPlace(t testing.TB) *Store {
	t.Helper()
	return NewStore(filepath.Join(t.TempDir(), "tls"))
}

// newLedger is an empty ledger, with what a state directory has for it.
func newLedger(t testing.TB) *Ledger {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{logDir, cacheDir} {
		if err := os.Mkdir(filepath.Join(dir, d), dirMode); err != nil {
			t.Fatal(err)
		}
	}
	return NewLedger(dir)
}

func TestLedgerSuite(t *testing.T) {
	backendtest.TestLedger(t, func(t *testing.T) ca.Ledger { return newLedger(t) }, backendtest.LedgerOptions{
		Reopen: func(_ *testing.T, l ca.Ledger) ca.Ledger {
			return NewLedger(l.(*Ledger).dir)
		},
	})
}

func TestStoreSuite(t *testing.T) {
	backendtest.TestStore(t, func(t *testing.T) issue.Store { return newPlace(t) }, storeOptions())
}

// initOptions are those of a first `meshpki ca init`.
func initOptions() InitOptions {
	return InitOptions{
		Settings: Settings{Name: "Mesh", TrustDomain: "cluster.local", ClusterDomain: "cluster.local", Issuing: "issuing"},
		Root:     ca.Spec{CommonName: "Mesh Root CA", MaxPathLen: 1, NotBefore: start.Add(-ca.Backdate), NotAfter: start.AddDate(10, 0, 0)},
		Issuing:  ca.Spec{CommonName: "Mesh issuing CA", NotBefore: start.Add(-ca.Backdate), NotAfter: start.AddDate(3, 0, 0)},
		KeyType:  ca.ECP256,
		Now:      clock,
	}
}

// newDirectory is a state directory with its authorities.
func newDirectory(t *testing.T) *Directory {
	t.Helper()
	d, err := Init(t.Context(), filepath.Join(t.TempDir(), "pki"), initOptions())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAuthoritySuite(t *testing.T) {
	backendtest.TestAuthority(t, func(t *testing.T) ca.Authority {
		issuer, err := newDirectory(t).Issuer("", KeySource{})
		if err != nil {
			t.Fatal(err)
		}
		return issuer
	}, backendtest.AuthorityOptions{Now: clock, Longest: start.AddDate(3, 0, 0)})
}
