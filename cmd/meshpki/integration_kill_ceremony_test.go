//go:build integration && linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// changingCAs is a command on CAs that is disturbed at each of its writing calls.
type changingCAs struct {
	name string
	env  []string
	// ready makes the world, as a list of command lines.
	ready []string
	args  string
	// again lists how the same command may end when it is given once more.
	again map[int]string // what it then says, by exit code
	// after makes of the world what it would have become.
	after func(r trial, t *testing.T, dir string)
}

// authorityCommands are those that make, certify or move CAs and their keys. An
// authority with all that they need is in pki; who is on the other side is in other.
var authorityCommands = []changingCAs{
	{
		name: "intermediate", ready: []string{"ca init", "issue --service payment"}, args: "ca intermediate web --validity 90d",
		again: map[int]string{0: "", 2: `there is an authority "web" already`},
		after: func(r trial, t *testing.T, dir string) {
			r.must(t, dir, "issue", "--service", "web", "--backend", "local:web")
		},
	},
	{
		name: "cross-sign", ready: []string{"ca init", "ca intermediate wide --max-path-len 1", "issue --service payment"},
		args: "ca cross-sign issuing --by wide", again: map[int]string{0: ""},
		after: func(r trial, t *testing.T, dir string) {
			if said := r.must(t, dir, "ca", "list"); !strings.Contains(said, "issuing is certified by wide too") {
				t.Errorf("the cross-signature is lost: %s", said)
			}
		},
	},
	{
		name: "reissue", ready: []string{"ca init", "issue --service payment"}, env: []string{"MESHPKI_TEST_NOW=2029-06-01T12:00:00Z"},
		args: "ca reissue issuing", again: map[int]string{0: "", 4: "it would end no later than now"},
		after: func(r trial, t *testing.T, dir string) {
			if said := r.must(t, dir, "ca", "list"); strings.Contains(said, "ends in") {
				t.Errorf("the certificate is the old one: %s", said)
			}
		},
	},
	{
		name: "key-move", ready: []string{"ca init", "issue --service payment"}, args: "ca key root --move away.key",
		again: map[int]string{0: "", 1: "its key is not in this directory"},
		after: func(r trial, t *testing.T, dir string) {
			r.must(t, dir, "ca", "intermediate", "web", "--key", "away.key")
		},
	},
	{
		name: "key-passphrase", ready: []string{"ca init", "issue --service payment"}, env: []string{"MESHPKI_PASSPHRASE_FILE=pass"},
		args: "ca key issuing --passphrase --new-passphrase-file pass", again: map[int]string{0: ""},
	},
	{
		name: "csr", ready: []string{"ca init --dir other", "ca bundle --dir other --out root.crt"},
		args: "ca csr online", again: map[int]string{0: "", 2: "its certificate was asked for and has not been imported yet"},
		after: func(r trial, t *testing.T, dir string) {
			r.must(t, dir, "ca", "sign", "pki/ca/online.csr", "--dir", "other", "--yes", "--out", "online.crt")
			r.must(t, dir, "ca", "import", "online.crt", "--root", "root.crt")
		},
	},
	{
		name: "sign", ready: []string{"ca init", "issue --service payment", "ca bundle --out root.crt", "ca csr online --dir other"},
		args: "ca sign other/ca/online.csr --yes --out online.crt", again: map[int]string{0: "", 1: "online.crt exists", 2: "online.crt exists"},
		after: func(r trial, t *testing.T, dir string) {
			r.must(t, dir, "ca", "import", "online.crt", "--root", "root.crt", "--dir", "other")
			r.must(t, dir, "issue", "--service", "web", "--dir", "other")
		},
	},
	{
		name: "import", args: "ca import online.crt --root root.crt", again: map[int]string{0: ""},
		ready: []string{"ca init --dir other", "ca bundle --dir other --out root.crt", "ca csr online",
			"ca sign pki/ca/online.csr --dir other --yes --out online.crt"},
	},
}

// trial is the command, ready to be disturbed: whatever happened, the ledger holds;
// the same command given once more does what is left; and then everything works.
func (c changingCAs) trial(t *testing.T) trial {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "world")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "pass"), "a passphrase\n")
	r := trial{t: t, world: dir, args: strings.Fields(c.args)}
	for _, line := range c.ready {
		r.must(t, dir, strings.Fields(line)...)
	}
	r.env = c.env
	r.holds = func(t *testing.T, dir string) {
		t.Helper()
		if _, err := os.Lstat(filepath.Join(dir, "pki", "log", "checkpoint")); err == nil {
			r.recorded(t, dir)
		}
	}
	r.mended = func(t *testing.T, dir string) {
		t.Helper()
		a := r.in(t, dir, r.args...)
		if text, ok := c.again[a.code]; !ok || !strings.Contains(strings.Join(strings.Fields(a.stderr), " "), text) {
			t.Fatalf("once more: %s", a)
		}
		if c.after != nil {
			c.after(r, t, dir)
		}
		r.works(t, dir)
	}
	return r
}

func TestKilledWhileChangingCAs(t *testing.T) {
	for _, c := range authorityCommands {
		t.Run(c.name, func(t *testing.T) { c.trial(t).killed() })
	}
}

func TestChangingCAsFailsAnywhere(t *testing.T) {
	for _, fault := range []string{"ENOSPC", "EIO"} {
		for _, c := range authorityCommands {
			t.Run(fault+"-"+c.name, func(t *testing.T) { c.trial(t).failing(fault) })
		}
	}
}
