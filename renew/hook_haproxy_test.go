package renew

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// runtimeAPI speaks as HAProxy's does: one command a connection, a payload up to an
// empty line, an answer, the end.
type runtimeAPI struct {
	mu      sync.Mutex
	answers map[string]string // by the command's first word
	heard   []string          // commands, each with its payload
}

func (a *runtimeAPI) listen(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			a.serve(conn)
		}
	}()
	return l.Addr().String()
}

func (a *runtimeAPI) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.heard)
}

func (a *runtimeAPI) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	line, _ := r.ReadString('\n')
	text := line
	for strings.HasSuffix(strings.TrimSpace(line), "<<") || text != line {
		more, err := r.ReadString('\n')
		if text += more; err != nil || more == "\n" {
			break
		}
	}
	a.mu.Lock()
	a.heard = append(a.heard, text)
	answer, hangs := a.answers[strings.Fields(line)[0]], false
	if answer == "hang" {
		hangs = true
	}
	a.mu.Unlock()
	if hangs {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	_, _ = io.WriteString(conn, answer)
}

// What HAProxy 2.6 says.
const (
	setGood    = "Transaction created for certificate /etc/a.pem!\n\n"
	commitGood = "Committing /etc/a.pem.\nSuccess!\n\n"
	abortGood  = "Transaction aborted for certificate '/etc/a.pem'!\n\n"
	setUnknown = "Can't replace a certificate which is not referenced by the configuration!\nCan't update /etc/a.pem!\n\n"
)

const bundle = "-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----\r\n\r\n \n-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----"

func TestHAProxy(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("HAProxy is not there")
	}
	const payload = "set ssl cert /etc/a.pem <<\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n\n"
	for _, test := range []struct {
		name                string
		set, commit, answer string
		heard               []string
		err                 string
	}{
		{"good", setGood, commitGood, setGood + commitGood, []string{payload, "commit ssl cert /etc/a.pem\n"}, ""},
		{"once more", "Transaction updated for certificate /etc/a.pem!\n", commitGood, "", []string{payload, "commit ssl cert /etc/a.pem\n"}, ""},
		{"unknown", setUnknown, "", setUnknown + abortGood, []string{payload, "abort ssl cert /etc/a.pem\n"},
			`: its running configuration has no certificate "/etc/a.pem": the name has to be the one that it loaded; it said "Can't update /etc/a.pem!"`},
		{"not admin", "Permission denied\n", "", "", []string{payload, "abort ssl cert /etc/a.pem\n"}, `: the socket is not of level admin; it said "Permission denied"`},
		{"bad", "unable to load certificate.\nCan't update /etc/a.pem!\n", "", "", []string{payload, "abort ssl cert /etc/a.pem\n"}, `: it refused; it said "Can't update /etc/a.pem!"`},
		{"silent", "", "", "", []string{payload, "abort ssl cert /etc/a.pem\n"}, ": no answer"},
		{"not committed", setGood, "Can't commit /etc/a.pem!\n", "", []string{payload, "commit ssl cert /etc/a.pem\n", "abort ssl cert /etc/a.pem\n"},
			`: it refused; it said "Can't commit /etc/a.pem!"`},
		{"hangs", setGood, "hang", "", []string{payload, "commit ssl cert /etc/a.pem\n", "abort ssl cert /etc/a.pem\n"}, ": not done within 500ms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := &runtimeAPI{answers: map[string]string{"set": test.set, "commit": test.commit, "abort": abortGood}}
			at := api.listen(t, "unix", filepath.Join(t.TempDir(), "s"))
			f := hookFacts()
			f.PEM = func() ([]byte, error) { return []byte(bundle), nil }
			out, err := Step{HAProxy: &HAProxy{Socket: at, Cert: "/etc/a.pem"}, Timeout: 500 * time.Millisecond}.Run(t.Context(), f)
			if (err == nil) != (test.err == "") || err != nil && !strings.HasSuffix(err.Error(), "HAProxy's "+at+test.err) {
				t.Errorf("%v; want …%s", err, test.err)
			}
			if test.answer != "" && string(out) != test.answer || strings.Contains(string(out), "BBBB") {
				t.Errorf("%q; want %q", out, test.answer)
			}
			api.mu.Lock()
			defer api.mu.Unlock()
			if strings.Join(api.heard, "|") != strings.Join(test.heard, "|") {
				t.Errorf("heard %q; want %q", api.heard, test.heard)
			}
		})
	}
}

func TestHAProxyUnreachable(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("HAProxy is not there")
	}
	api := &runtimeAPI{answers: map[string]string{"set": setGood, "commit": commitGood}}
	f := hookFacts()
	if _, err := (Step{HAProxy: &HAProxy{Socket: api.listen(t, "tcp", "127.0.0.1:0"), Cert: "a"}}).Run(t.Context(), f); err != nil {
		t.Error(err)
	}
	none := Step{HAProxy: &HAProxy{Socket: filepath.Join(t.TempDir(), "none"), Cert: "a"}}
	if _, err := none.Run(t.Context(), f); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	// Where everybody could have made the socket, no key is handed over.
	open := t.TempDir()
	if err := os.Chmod(open, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	at := api.listen(t, "unix", filepath.Join(open, "s"))
	if _, err := (Step{HAProxy: &HAProxy{Socket: at, Cert: "a"}}).Run(t.Context(), f); err == nil || !strings.Contains(err.Error(), "everybody may write to") {
		t.Error(err)
	}
	if n := api.count(); n != 2 {
		t.Errorf("%d commands were heard, want those two of the first", n)
	}
	f.PEM = nil
	if _, err := none.Run(t.Context(), f); err == nil || !strings.HasSuffix(err.Error(), "its key is not here") {
		t.Error(err)
	}
	f.PEM = func() ([]byte, error) { return nil, context.Canceled }
	if _, err := (Step{HAProxy: &HAProxy{Socket: "127.0.0.1:1", Cert: "a"}}).Run(t.Context(), f); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
