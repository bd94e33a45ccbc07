package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// docPrograms compiles the Go of a page, in a module of its own with nothing but
// the standard library, and gives the programs. Each listens and connects where
// the test says.
func docPrograms(t *testing.T, page, address string) (programs []string) {
	t.Helper()
	dir := t.TempDir()
	writeDoc(t, filepath.Join(dir, "go.mod"), "module docs\n\ngo 1.26\n")
	for i, b := range docBlocks(t, page) {
		if b.lang == "go" {
			text := strings.ReplaceAll(b.text(), "127.0.0.1:8443", address)
			writeDoc(t, filepath.Join(dir, fmt.Sprintf("p%d", i), "main.go"), text)
			programs = append(programs, filepath.Join(dir, "bin", fmt.Sprintf("p%d", i)))
		}
	}
	for _, args := range [][]string{{"vet", "./..."}, {"build", "-o", "bin" + string(filepath.Separator), "./..."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOPROXY=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: go %s: %v\n%s", page, args[0], err, out)
		}
	}
	return programs
}

func writeDoc(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// The Go programs of the pages are compiled, and do what the pages say: a server
// that takes calls from payment alone, and payment's client.
func TestDocsGo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs resolve links, which are not there on Windows")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not here")
	}
	home := docHome(t)
	for page, want := range map[string]int{"README.md": 1, "docs/getting-started.md": 2, "docs/layouts.md": 1} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			address := freeAddress(t)
			programs := docPrograms(t, page, address)
			if len(programs) != want {
				t.Fatalf("%d programs, want %d", len(programs), want)
			}
			if page == "docs/layouts.md" {
				if out := runDoc(t, home, programs[0]); !strings.HasPrefix(out, "serial ") {
					t.Errorf("it prints %q", out)
				}
				return
			}
			serveDoc(t, home, programs[0], address)
			if len(programs) > 1 {
				if out := runDoc(t, home, programs[1]); out != "hello payment\n" {
					t.Errorf("the client prints %q", out)
				}
			}
			callDoc(t, home, address)
		})
	}
}

// docHome is a directory with an authority and three services, as of now.
func docHome(t *testing.T) string {
	t.Helper()
	r := &docRun{t: t, root: t.TempDir(), now: time.Now().UTC().Format(time.RFC3339)}
	for _, line := range []string{"meshpki ca init", "meshpki issue --service payment", "meshpki issue --service account", "meshpki issue --service reporting"} {
		if out := r.run(line); r.code != 0 {
			t.Fatalf("%s: %d\n%s", line, r.code, out)
		}
	}
	return r.home()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func runDoc(t *testing.T, home, program string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = home
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// serveDoc starts a server and waits until it answers.
func serveDoc(t *testing.T, home, program, address string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program)
	var said strings.Builder
	cmd.Dir, cmd.Stderr = home, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not answer: %v", err)
		}
	}
}

// callDoc calls a server of the pages as payment, as a service that may not, and
// without a certificate.
func callDoc(t *testing.T, home, address string) {
	t.Helper()
	call := func(service string) (int, string, error) {
		dir := filepath.Join(home, "pki", "services", "default", service)
		roots := x509.NewCertPool()
		pem, err := os.ReadFile(filepath.Join(home, "pki", "ca", "root.crt"))
		if err != nil || !roots.AppendCertsFromPEM(pem) {
			t.Fatal("no roots", err)
		}
		config := &tls.Config{RootCAs: roots, ServerName: "account.default.svc"}
		if service != "" {
			cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{cert}
		}
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("https://" + address + "/")
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode, string(body), err
	}
	if code, body, err := call("payment"); code != http.StatusOK || body != "hello payment\n" || err != nil {
		t.Errorf("payment gets %d %q, %v", code, body, err)
	}
	if code, _, err := call("reporting"); code != http.StatusForbidden {
		t.Errorf("a service that may not call gets %d, %v", code, err)
	}
	if code, _, err := call(""); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %d, %v", code, err)
	}
}
