//go:build integration || bench

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds everything that is run: far above what any of it takes.
const patience = time.Minute

// built is the program as it is shipped, made once for a run of the tests.
var built = sync.OnceValues(func() (string, error) {
	name, err := filepath.Abs(filepath.Join("..", "..", "bin", "tested", "meshpki"))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-tags", "urfave_cli_no_docs",
		"-ldflags", "-s -w -X main.version=v0.0.0-test -X main.commit=0123456789ab", "-o", name, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return name, nil
})

// meshpki gives the path of the program under test.
func meshpki(t *testing.T) string {
	t.Helper()
	name, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// program finds a program of the system; where it is missing the test fails, for
// a test that is passed over proves nothing.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, try := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if found, err := exec.LookPath(try); err == nil {
			return found
		}
	}
	t.Fatalf("%s is not installed: run testdata/integration/install", name)
	return ""
}

// pinned builds one of the tools of testdata/tools, or finds it in the cache.
func pinned(t *testing.T, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join("..", "..", "testdata", "tools", "build"), name)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// answer is what a program said, and its exit code.
type answer struct {
	stdout, stderr string
	code           int
}

func (a answer) String() string {
	return fmt.Sprintf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
}

// run runs a program to its end, without standard input and in a neutral
// environment. Only what could not be run at all, or took too long, fails the test.
func run(t *testing.T, name string, args ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = neutralEnv()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s %s: %v", filepath.Base(name), strings.Join(args, " "), errors.Join(err, ctx.Err()))
	}
	return answer{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// neutralEnv is the environment without what would change an answer.
func neutralEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MESHPKI_") && !strings.HasPrefix(v, "SSL_CERT_") && !strings.Contains(strings.ToLower(v), "_proxy=") {
			env = append(env, v)
		}
	}
	return append(env, "LC_ALL=C.UTF-8", "NO_COLOR=1")
}

// succeed is run for what must end with exit code 0; it gives back stdout.
func succeed(t *testing.T, name string, args ...string) string {
	t.Helper()
	a := run(t, name, args...)
	if a.code != 0 {
		t.Fatalf("%s %s: %s", filepath.Base(name), strings.Join(args, " "), a)
	}
	return a.stdout
}

// mesh is a state directory and the program that keeps it.
type mesh struct {
	t   *testing.T
	dir string
}

// newMesh makes a root and an intermediate in a directory of the test's own.
func newMesh(t *testing.T, flags ...string) mesh {
	t.Helper()
	m := mesh{t, filepath.Join(t.TempDir(), "pki")}
	m.must(append([]string{"ca", "init"}, flags...)...)
	return m
}

// run runs a command on this directory.
func (m mesh) run(args ...string) answer {
	m.t.Helper()
	return run(m.t, meshpki(m.t), append(args, "--dir", m.dir)...)
}

// must is run for what must end with exit code 0; it gives back stdout.
func (m mesh) must(args ...string) string {
	m.t.Helper()
	return succeed(m.t, meshpki(m.t), append(args, "--dir", m.dir)...)
}

// issue issues for a service of the default namespace and gives the directory of its files.
func (m mesh) issue(service string, flags ...string) credential {
	m.t.Helper()
	m.must(append([]string{"issue", "--service", service}, flags...)...)
	return credential{m.t, filepath.Join(m.dir, "services", "default", service)}
}

// credential is a directory with the files of the layout tls.
type credential struct {
	t   *testing.T
	dir string
}

func (c credential) chain() string { return filepath.Join(c.dir, "tls.crt") }
func (c credential) key() string   { return filepath.Join(c.dir, "tls.key") }
func (c credential) roots() string { return filepath.Join(c.dir, "ca.crt") }

// certificates reads a PEM file without the code under test.
func certificates(t *testing.T, name string) (certs []*x509.Certificate) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		t.Fatalf("%s: no certificate", name)
	}
	return certs
}

// save writes certificates as PEM into a new file and gives its name.
func save(t *testing.T, certs ...*x509.Certificate) string {
	t.Helper()
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	name := filepath.Join(t.TempDir(), "certs.pem")
	writeFile(t, name, string(text))
	return name
}

// writeFile writes text for a program that a test runs.
func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// must ends the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
