package acme

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
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// The test binary is its own hook: it keeps TXT records in a file.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "acme-hook" {
		os.Exit(hookMain(os.Args[2], os.Args[3], os.Args[4], os.Args[5]))
	}
	os.Exit(m.Run())
}

func hookMain(zone, verb, name, value string) int {
	line := name + " " + value + "\n"
	data, _ := os.ReadFile(zone)
	switch verb {
	case "present":
		data = append(data, line...)
	case "cleanup":
		data = bytes.Replace(data, []byte(line), nil, 1)
	}
	if os.Getenv("MESHPKI_PASSPHRASE") != "" || os.Getenv("HOME") != "" || strings.HasPrefix(zone, "fail") {
		os.Stderr.WriteString("the zone is locked\n")
		return 1
	}
	if err := os.WriteFile(zone, data, 0o600); err != nil {
		return 1
	}
	return 0
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.authority(t, nil)
	backendtest.TestAuthority(t, func(*testing.T) ca.Authority { return a }, backendtest.AuthorityOptions{
		Now:      s.now,
		Names:    ca.Names{DNS: []string{"payment.example.com", "ledger.example.com"}, IP: []string{"127.0.0.1"}},
		Refused:  ca.Names{DNS: []string{"payment.example.com"}, URI: []string{"spiffe://cluster.local/ns/prod/sa/payment"}, Email: []string{"ops@example.com"}},
		Profiles: []string{"workload"},
		KeyTypes: []ca.KeyType{ca.ECP256, ca.ECP384, ca.Ed25519, ca.RSA2048},
		Resumes:  true,
	})
	if s.count("POST account") != 1 {
		t.Errorf("it logged in %d times", s.count("POST account"))
	}
}

// order is for names, with what the server decides left to it.
func order(t *testing.T, names ...string) issue.Order {
	t.Helper()
	id, err := ca.NewIdentity(ca.Names{DNS: names})
	if err != nil {
		t.Fatal(err)
	}
	profile, err := ca.ProfileByName("workload")
	if err != nil {
		t.Fatal(err)
	}
	return issue.Order{Service: "payment", Namespace: "prod", Identity: id, Profile: profile, KeyType: ca.ECP256,
		Validity: ca.Validity{NotAfter: start.Add(30 * 24 * time.Hour), UpTo: true}}
}

func obtain(t *testing.T, a ca.Authority, o issue.Order) (*issue.Credential, error) {
	t.Helper()
	return issue.Obtain(t.Context(), a, o, start)
}

func want(t *testing.T, a ca.Authority, o issue.Order) *issue.Credential {
	t.Helper()
	c, err := obtain(t, a, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each way of proving a name is gone, and nothing of it is left behind.
func TestChallenges(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MESHPKI_PASSPHRASE", "what no hook is told")
	for name, test := range map[string]struct {
		settings func(s *server, dir string) backends.ACME
		names    []string
	}{
		"own listener": {func(s *server, _ string) backends.ACME { return backends.ACME{HTTPListen: s.httpAt} }, []string{"payment.example.com", "ledger.example.com"}},
		"tls-alpn-01":  {func(s *server, _ string) backends.ACME { return backends.ACME{TLSListen: s.tlsAt} }, []string{"payment.example.com"}},
		"hook": {func(s *server, dir string) backends.ACME {
			s.zone = filepath.Join(dir, "zone")
			return backends.ACME{DNSHook: []string{exe, "acme-hook", s.zone}, DNSWait: time.Millisecond}
		}, []string{"*.example.com", "example.com"}},
		"hook for the wildcard, listener for the rest": {func(s *server, dir string) backends.ACME {
			s.zone = filepath.Join(dir, "zone")
			return backends.ACME{DNSHook: []string{exe, "acme-hook", s.zone}, HTTPListen: s.httpAt}
		}, []string{"*.example.com", "ledger.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newServer(t), t.TempDir()
			s.polls = 2
			a := s.authority(t, func(a *Authority) {
				own := test.settings(s, dir)
				own.CACert, own.Roots = a.settings.CACert, a.settings.Roots
				a.settings = own
			})
			c := want(t, a, order(t, test.names...))
			if len(c.Leaf().DNSNames) != len(test.names) {
				t.Errorf("the names are %q", c.Leaf().DNSNames)
			}
			if zone, err := os.ReadFile(s.zone); len(zone) > 0 || s.zone != "" && err != nil {
				t.Errorf("the zone still has %q, %v", zone, err)
			}
			for _, address := range []string{s.httpAt, s.tlsAt} {
				l, err := listen(t.Context(), address)
				if err != nil {
					t.Errorf("after it: %v", err)
					continue
				}
				l.Close()
			}
		})
	}
}

func TestWebroot(t *testing.T) {
	t.Parallel()
	s, web := newServer(t), t.TempDir()
	// The web server of the machine.
	server := serveFiles(t, s.httpAt, web)
	defer server()
	a := s.authority(t, func(a *Authority) { a.settings.HTTPListen, a.settings.HTTPWebroot = "", web })
	want(t, a, order(t, "payment.example.com"))
	left, err := os.ReadDir(filepath.Join(web, ".well-known", "acme-challenge"))
	if err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// A hook that fails is told with what it said, and asked to clean up; so is one that
// cannot be found.
func TestHookFails(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		argv []string
		want string
	}{
		"fails":   {[]string{exe, "acme-hook", "fail"}, `exit status 1; it said "the zone is locked"`},
		"missing": {[]string{"no-such-program"}, `no program "no-such-program" in /usr/local/sbin`},
	} {
		s := newServer(t)
		a := s.authority(t, func(a *Authority) { a.settings.HTTPListen, a.settings.DNSHook = "", test.argv })
		_, err := obtain(t, a, order(t, "payment.example.com"))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// What passes is ca.ErrAway, and what does not is a *ca.Refusal in the server's words.
func TestProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path    string
		problem problemDocument
		away    bool
	}{
		"rate limited":      {"order", problemDocument{"rateLimited", "too many certificates", 429, "3600"}, true},
		"down":              {"order", problemDocument{"serverInternal", "it is broken", 500, ""}, true},
		"rejected":          {"order", problemDocument{"rejectedIdentifier", "a policy\nforbids \x1b[31mthis", 400, ""}, false},
		"no CAA":            {"finalize/1", problemDocument{"caa", "CAA forbids it", 403, ""}, false},
		"account is closed": {"account", problemDocument{"unauthorized", "it was deactivated", 401, ""}, false},
	} {
		s := newServer(t)
		s.problem = func(path string) *problemDocument {
			if path == test.path {
				return &test.problem
			}
			return nil
		}
		_, err := obtain(t, s.authority(t, nil), order(t, "payment.example.com"))
		_, refused := ca.IsRefusal(err)
		if err == nil || errors.Is(err, ca.ErrAway) != test.away || refused == test.away {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		if strings.ContainsAny(err.Error(), "\n\x1b") || !strings.Contains(err.Error(), test.problem.Type) {
			t.Errorf("%s: it says %q", name, err)
		}
	}
}

// A server that is not there, not trusted, or no ACME server is told as such.
func TestNoServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	away, err := open("https://"+freeAddress(t)+"/directory", backends.Options{Dir: t.TempDir(), Now: s.now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := obtain(t, away, order(t, "payment.example.com")); !errors.Is(err, ca.ErrAway) {
		t.Errorf("nobody is there: error %v", err)
	}
	stranger := s.authority(t, func(a *Authority) { a.settings.CACert = a.settings.Roots })
	if _, err := obtain(t, stranger, order(t, "payment.example.com")); err == nil || errors.Is(err, ca.ErrAway) || !strings.Contains(err.Error(), "is not trusted") {
		t.Errorf("not trusted: error %v", err)
	}
}

// Nonces that are refused and validations that take their time are no failures.
func TestFlaky(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.badNonces, s.polls = 12, 3 // more than are tried for one request
	want(t, s.authority(t, nil), order(t, "payment.example.com"))
	if len(s.orders) != 1 {
		t.Errorf("%d orders were placed", len(s.orders))
	}
}

// A challenge that is answered wrongly is a refusal, and the order is placed anew by
// the next try.
func TestRejectedChallenge(t *testing.T) {
	t.Parallel()
	s, web := newServer(t), t.TempDir()
	server := serveFiles(t, s.httpAt, t.TempDir()) // from another directory
	a := s.authority(t, func(a *Authority) { a.settings.HTTPListen, a.settings.HTTPWebroot = "", web })
	o := order(t, "payment.example.com")
	if err := o.Seal(); err != nil {
		t.Fatal(err)
	}
	o.Pending = func(r []byte) error { o.Resume = r; return nil }
	_, err := obtain(t, a, o)
	if _, refused := ca.IsRefusal(err); !refused || !strings.Contains(err.Error(), "prove payment.example.com to") {
		t.Errorf("error %v", err)
	}
	server()
	defer serveFiles(t, s.httpAt, web)()
	want(t, a, o)
	if len(s.orders) != 2 {
		t.Errorf("%d orders were placed", len(s.orders))
	}
}

// What was begun is gone on with, wherever it was interrupted: one order, one
// certificate.
func TestResumed(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"order", "authz/1/0", "challenge/1/0/http-01", "finalize/1", "certificate/1"} {
		s := newServer(t)
		a := s.authority(t, nil)
		o := order(t, "payment.example.com")
		if err := o.Seal(); err != nil {
			t.Fatal(err)
		}
		o.Pending = func(r []byte) error { o.Resume = bytes.Clone(r); return nil }
		ctx, stop := context.WithCancel(t.Context())
		done := false
		s.problem = func(path string) *problemDocument {
			if path == where && !done { // the request is heard, and the answer is not
				done = true
				stop()
			}
			return nil
		}
		if _, err := issue.Obtain(ctx, a, o, start); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", where, err)
		}
		stop()
		if where == "order" { // the answer was lost, and nobody knows of the order
			o.Resume = nil
		}
		another := s.plain(t, filepath.Dir(a.settings.Roots)) // another run
		another.options.Dir = a.options.Dir
		c := want(t, another, o)
		if again := want(t, another, o); !again.Leaf().Equal(c.Leaf()) && len(o.Resume) > 0 {
			t.Errorf("%s: gone on with twice, it gave two certificates", where)
		}
		if n := s.count("POST finalize"); n > 2 {
			t.Errorf("%s: it was finalized %d times", where, n)
		}
	}
}
