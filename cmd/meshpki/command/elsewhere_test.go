package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// elsewhere runs command lines in a directory of its own, against an authority that
// is not in it.
type elsewhere struct {
	t      *testing.T
	dir    string
	now    time.Time
	remote *memory.Remote
	opened int
	signed int
}

func newElsewhere(t *testing.T) *elsewhere {
	e := &elsewhere{t: t, dir: filepath.Join(t.TempDir(), "pki"), now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	issuer, err := memory.NewAuthority(t.Context(), memory.AuthorityOptions{Now: func() time.Time { return e.now }})
	if err != nil {
		t.Fatal(err)
	}
	issuer.Ledger = counting{issuer.Ledger, &e.signed}
	e.remote = &memory.Remote{Issuer: issuer}
	return e
}

// counting counts what is signed.
type counting struct {
	ca.Ledger
	n *int
}

func (c counting) Record(ctx context.Context, e ca.Entry) error {
	*c.n++
	return c.Ledger.Record(ctx, e)
}

func (e *elsewhere) run(args ...string) (code int, out, words string) {
	e.t.Helper()
	var stdout, stderr bytes.Buffer
	registry := &backends.Registry{
		Authorities: map[string]func(context.Context, string, backends.Options) (ca.Authority, error){
			"far": func(context.Context, string, backends.Options) (ca.Authority, error) {
				e.opened++
				return e.remote, nil
			},
		},
		Stores: map[string]func(string, backends.Options) (issue.Store, error){
			"file": func(path string, _ backends.Options) (issue.Store, error) { return file.NewStore(path), nil },
		},
	}
	code = Main(e.t.Context(), &Env{
		Args: append([]string{"meshpki"}, args...), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(name string) string {
			if name == "MESHPKI_DIR" {
				return e.dir
			}
			return ""
		},
		Now: func() time.Time { return e.now }, Registry: registry,
	})
	return code, stdout.String(), stderr.String()
}

// must runs what has to end with that code, and gives all that it said.
func (e *elsewhere) must(want int, args ...string) string {
	e.t.Helper()
	code, out, words := e.run(args...)
	if code != want {
		e.t.Fatalf("%s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, words)
	}
	return out + words
}

// Where somebody else signs, nothing has to be made first; what is asked for and what
// comes back are in the ledger, and renewal goes on with it.
func TestElsewhere(t *testing.T) {
	e := newElsewhere(t)
	e.must(codeDone, "issue", "--service", "payment", "--backend", "far:away")
	if said := e.must(codeDone, "log", "show"); !strings.Contains(said, "payment") {
		t.Errorf("the ledger says\n%s", said)
	}
	if said := e.must(codeDone, "log", "show", "--pending", "--json"); strings.Contains(said, "payment") {
		t.Errorf("something is pending:\n%s", said)
	}
	e.must(codeDone, "renew")
	if e.signed != 1 {
		t.Errorf("%d were signed before any was due", e.signed)
	}
	e.now = e.now.AddDate(0, 0, 25)
	e.must(codeDone, "renew")
	if e.signed != 2 {
		t.Errorf("%d were signed, want 2", e.signed)
	}
	e.must(codeDone, "log", "verify")
}

// An order that is interrupted while it is elsewhere is known, and is gone on with.
func TestElsewhereInterrupted(t *testing.T) {
	e := newElsewhere(t)
	broken := errors.New("the line is dead")
	e.remote.Wait = func(context.Context) error { return broken }
	if said := e.must(codeFailed, "issue", "--service", "payment", "--backend", "far:away"); !strings.Contains(said, broken.Error()) {
		t.Errorf("it said %q", said)
	}
	if said := e.must(codeDone, "log", "show", "--pending"); !strings.Contains(said, "payment") {
		t.Errorf("the ledger says\n%s", said)
	}
	e.remote.Wait = nil
	e.must(codeDone, "issue", "--service", "payment", "--backend", "far:away")
	if e.signed != 1 {
		t.Errorf("%d were signed for one order", e.signed)
	}
	if said := e.must(codeDone, "log", "show", "--pending", "--json"); strings.Contains(said, "payment") {
		t.Errorf("something is pending:\n%s", said)
	}
	left, err := os.ReadDir(filepath.Join(e.dir, "renew"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the journal: %v, %v", left, err)
	}
}

// One that was signed and could not be delivered is not asked for again.
func TestElsewhereUndelivered(t *testing.T) {
	e := newElsewhere(t)
	out := filepath.Join(t.TempDir(), "out")
	e.remote.Wait = func(context.Context) error { return os.WriteFile(out, []byte("in the way"), 0o600) }
	e.must(codeFailed, "issue", "--service", "payment", "--backend", "far:away", "--out", out)
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	e.remote.Wait = nil
	e.must(codeDone, "issue", "--service", "payment", "--backend", "far:away", "--out", out)
	if e.signed != 1 {
		t.Errorf("%d were signed for one order", e.signed)
	}
	// Another order is another certificate.
	e.must(codeDone, "issue", "--service", "payment", "--backend", "far:away", "--out", out, "--dns", "other.example.com", "--force")
	if e.signed != 2 {
		t.Errorf("%d were signed for two orders", e.signed)
	}
}

// Many are asked for over one way in, which is opened once.
func TestElsewhereOpenedOnce(t *testing.T) {
	e := newElsewhere(t)
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	manifest := "apiVersion: meshpki/v1\nbackend: far:away\nservices:\n  - name: a\n  - name: b\n  - name: c\n"
	if err := os.WriteFile(filepath.Join(e.dir, "meshpki.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	e.must(codeDone, "issue", "--service", "d")
	e.opened = 0
	e.must(codeDone, "renew")
	if e.signed != 4 || e.opened != 1 {
		t.Errorf("%d were signed over %d ways in, want 4 over 1", e.signed, e.opened)
	}
	e.opened = 0
	e.must(codeDone, "issue", "--file", filepath.Join(e.dir, "meshpki.yaml"), "--force")
	if e.signed != 7 || e.opened != 1 {
		t.Errorf("%d were signed over %d ways in, want 7 over 1", e.signed, e.opened)
	}
}

// Without a directory and with nobody elsewhere there is nothing to go by, and what
// is only looked at makes none.
func TestElsewhereMakesNoDirectoryInVain(t *testing.T) {
	e := newElsewhere(t)
	e.must(codeUsage, "issue", "--service", "payment", "--backend", "fra:away")
	e.must(codeUsage, "issue", "--service", "payment", "--backend", "far:away", "--dry-run")
	e.must(codeUsage, "renew")
	if _, err := os.Lstat(e.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a directory: %v", err)
	}
}
