package vault

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

var start = time.Date(2026, 11, 21, 21, 40, 0, 0, time.UTC)

func clock() time.Time { return start }

// recorded is an answer of a real Vault.
func recorded(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// environment has nothing of this machine in it.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// open gives an authority that asks the fake, and waits for nothing.
func (f *fake) open(t *testing.T, s backends.Vault, env ...string) *Authority {
	t.Helper()
	s.Address = f.server.URL
	if s.Mount == "" {
		s.Mount, s.Role = "pki", "mesh"
	}
	if len(env) == 0 {
		env = []string{"VAULT_TOKEN", "s.good"}
	}
	a, err := open(t.Context(), "pki/mesh", backends.Options{Now: f.now, Settings: &s, Getenv: environment(env...)})
	if err != nil {
		t.Fatal(err)
	}
	a.client.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	a.client.session.kept = true // nobody keeps it: what a test counts is what it asked for
	return a
}

func TestAuthority(t *testing.T) {
	f := newFake(t, clock)
	backendtest.TestAuthority(t, func(t *testing.T) ca.Authority { return f.open(t, backends.Vault{}) }, backendtest.AuthorityOptions{
		Now: clock, Profiles: []string{"workload"}, KeyTypes: []ca.KeyType{ca.ECP256, ca.Ed25519},
		Refused: ca.Names{DNS: []string{"payment.forbidden"}}, Longest: start.Add(60 * 24 * time.Hour),
	})
}

// order is a workload's, for a life.
func order(t *testing.T, life time.Duration) issue.Order {
	t.Helper()
	id, err := ca.NewIdentity(ca.Names{Subject: ca.CommonNameOnly("payment"), DNS: []string{"payment.prod"}, URI: []string{"spiffe://cluster.local/ns/prod/sa/payment"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.ProfileByName("")
	if err != nil {
		t.Fatal(err)
	}
	key, err := issue.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	return issue.Order{Service: "payment", Namespace: "prod", Identity: id, Profile: p, Key: key, Validity: ca.Validity{NotAfter: start.Add(life)}}
}

// What goes over the wire is a ttl, never an end, and the names stand beside the request.
func TestWire(t *testing.T) {
	f := newFake(t, clock)
	if _, err := issue.Obtain(t.Context(), f.open(t, backends.Vault{}), order(t, 90*time.Minute), start); err != nil {
		t.Fatal(err)
	}
	for _, body := range f.bodies {
		if body["csr"] == nil {
			continue
		}
		if body["ttl"] != "5400s" || body["not_after"] != nil || body["uri_sans"] != "spiffe://cluster.local/ns/prod/sa/payment" ||
			body["alt_names"] != "payment.prod" || body["common_name"] != "payment" || body["exclude_cn_from_sans"] != true {
			t.Errorf("asked for %v", body)
		}
		if len(body) != 6 {
			t.Errorf("%d fields are sent", len(body))
		}
	}
	if n := f.count("PUT pki/sign/mesh"); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// A DNS name is asked for, and certified, in the case in which it was ordered.
func TestKeepsCase(t *testing.T) {
	const name = "Payment.Prod.EXAMPLE.com"
	f := newFake(t, clock)
	o := order(t, 90*time.Minute)
	var err error
	if o.Identity, err = ca.NewIdentity(ca.Names{Subject: ca.CommonNameOnly(name), DNS: []string{name}}); err != nil {
		t.Fatal(err)
	}
	c, err := issue.Obtain(t.Context(), f.open(t, backends.Vault{}), o, start)
	if err != nil {
		t.Fatal(err)
	}
	body := f.bodies[slices.IndexFunc(f.bodies, func(b map[string]any) bool { return b["csr"] != nil })]
	block, _ := pem.Decode([]byte(fmt.Sprint(body["csr"])))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for where, got := range map[string][]string{
		"alt_names": {fmt.Sprint(body["alt_names"])}, "common_name": {fmt.Sprint(body["common_name"])},
		"the request": csr.DNSNames, "its subject": {csr.Subject.CommonName},
		"the certificate": c.Leaf().DNSNames, "its common name": {c.Leaf().Subject.CommonName},
	} {
		if !slices.Equal(got, []string{name}) {
			t.Errorf("%s has %q", where, got)
		}
	}
}

// What the role alters is named with the setting that does it.
func TestExplained(t *testing.T) {
	for _, c := range []struct {
		setting      string
		value        any
		part, remedy string
	}{
		{"basic_constraints_valid_for_non_ca", false, issue.PartShape, "vault patch pki/roles/mesh basic_constraints_valid_for_non_ca=true"},
		{"server_flag", false, issue.PartEKU, "vault patch pki/roles/mesh server_flag=true"},
		{"key_usage", []any{"KeyAgreement"}, issue.PartUsage, "vault patch pki/roles/mesh key_usage=DigitalSignature"},
		{"max_ttl", json.Number("3600"), issue.PartEnd, "vault patch pki/roles/mesh max_ttl="},
	} {
		t.Run(c.setting, func(t *testing.T) {
			f := newFake(t, clock)
			f.role[c.setting] = c.value
			_, err := issue.Obtain(t.Context(), f.open(t, backends.Vault{}), order(t, 24*time.Hour), start)
			m, ok := errors.AsType[*issue.Mismatch](err)
			if !ok {
				t.Fatalf("error %v, want a *issue.Mismatch", err)
			}
			if m.Part != c.part || !strings.HasPrefix(m.Difference.Remedy, c.remedy) || !strings.Contains(err.Error(), "role mesh") {
				t.Errorf("part %s, %v\n%s", m.Part, err, m.Difference.Remedy)
			}
		})
	}
}

// A token is had once for all, also by those who come at the same time.
func TestOneLogin(t *testing.T) {
	f := newFake(t, clock)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("5f2a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := f.open(t, backends.Vault{Auth: &backends.VaultAuth{Method: "approle", RoleID: "r", SecretIDFile: secret}})
	obtainAtOnce(t, a)
	if f.logins != 1 {
		t.Errorf("%d logins", f.logins)
	}
}

// obtainAtOnce has eight certificates made at once.
func obtainAtOnce(t *testing.T, a *Authority) {
	t.Helper()
	failed := make(chan error)
	for range 8 {
		go func() {
			_, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start)
			failed <- err
		}()
	}
	for range 8 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// A token that ends in the middle is had anew, once; a policy's no is not tried again.
func TestForbidden(t *testing.T) {
	f := newFake(t, clock)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("5f2a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := f.open(t, backends.Vault{Auth: &backends.VaultAuth{Method: "approle", RoleID: "r", SecretIDFile: secret}})
	ask := func() error {
		_, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	delete(f.tokens, "s.login1")
	if err := ask(); err != nil || f.logins != 2 {
		t.Errorf("after its end: %v, %d logins", err, f.logins)
	}
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v1/pki/sign/") {
			f.fail(w, 403, "1 error occurred:\n\t* permission denied\n\n")
			return true
		}
		return false
	}
	before := f.count("PUT pki/sign/mesh")
	err := ask()
	if _, ok := ca.IsRefusal(err); !ok || f.logins != 2 || f.count("PUT pki/sign/mesh") != before+1 {
		t.Errorf("error %v, %d logins, %d calls", err, f.logins, f.count("PUT pki/sign/mesh")-before)
	}
}

// A policy that lets no token be looked up does not have everybody log in who is told
// no; and a token that is revoked a moment after it was had is had anew all the same.
func TestForbiddenToLookUp(t *testing.T) {
	now := start
	f := newFake(t, func() time.Time { return now })
	a := f.open(t, backends.Vault{Auth: &backends.VaultAuth{Method: "approle", RoleID: "r", SecretIDFile: fileWith(t, "5f2a")}})
	no := "/v1/auth/token/lookup-self"
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/auth/token/lookup-self" && r.URL.Path != no {
			return false
		}
		f.fail(w, 403, "permission denied")
		return true
	}
	ask := func() error {
		now = now.Add(2 * time.Second)
		_, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	delete(f.tokens, "s.login1")
	if err := ask(); err != nil || f.logins != 2 {
		t.Errorf("after it was revoked: %v, %d logins", err, f.logins)
	}
	no = "/v1/pki/sign/mesh"
	for range 3 {
		if _, refused := ca.IsRefusal(ask()); !refused {
			t.Error("what is forbidden is no refusal")
		}
	}
	if f.logins != 3 {
		t.Errorf("%d logins because of what a policy forbids, want one more", f.logins)
	}
}

// What will pass is tried again for as long as there is patience, and then wraps
// ca.ErrAway; what will not is asked once.
func TestAway(t *testing.T) {
	for _, c := range []struct {
		status, passes int // it answers after so many
		text           string
		away           bool
	}{
		{503, 2, "Vault is sealed", false}, {429, 1, "request path \"pki/sign/mesh\": rate limit quota exceeded", false}, {500, 1, "internal error", false},
		{412, 1, "required index state not present", false}, {503, 1000, "Vault is sealed", true}, {502, 1000, "", true},
	} {
		f := newFake(t, clock)
		a := f.open(t, backends.Vault{})
		n := 0
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if n++; n <= c.passes {
				f.fail(w, c.status, c.text)
			}
			return n <= c.passes
		}
		_, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start)
		if errors.Is(err, ca.ErrAway) != c.away || !c.away && err != nil {
			t.Errorf("%d, passing after %d: %v", c.status, c.passes, err)
		}
		if c.away {
			tried := n
			if _, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start); !errors.Is(err, ca.ErrAway) || n != tried+1 {
				t.Errorf("%d: the next one tried %d times: %v", c.status, n-tried, err)
			}
			if tried < 4 || tried > 30 {
				t.Errorf("%d: %d tries", c.status, tried)
			}
		}
	}
	f := newFake(t, clock)
	a := f.open(t, backends.Vault{})
	f.before = func(w http.ResponseWriter, _ *http.Request) bool { f.fail(w, 400, "unknown role: mesh"); return true }
	if _, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start); errors.Is(err, ca.ErrAway) || f.count("PUT pki/sign/mesh") != 1 {
		t.Errorf("error %v after %d calls", err, f.count("PUT pki/sign/mesh"))
	}
}

// A new issuer's root stands beside the old one's.
func TestOverlap(t *testing.T) {
	now := start
	f := newFake(t, func() time.Time { return now })
	a := f.open(t, backends.Vault{})
	if roots, err := a.Roots(t.Context()); err != nil || len(roots) != 1 {
		t.Fatalf("%d roots, %v", len(roots), err)
	}
	f.addCA("two", start.Add(90*24*time.Hour))
	if roots, err := a.Roots(t.Context()); err != nil || len(roots) != 1 || f.count("LIST pki/issuers") != 1 {
		t.Errorf("%d roots were read %d times, %v", len(roots), f.count("LIST pki/issuers"), err)
	}
	// What the new one signs has them read again.
	c, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start)
	if err != nil || len(c.Roots) != 2 || len(c.Chain) != 1 {
		t.Fatalf("%v, %v", c, err)
	}
	// Who has nothing to be signed asks nothing, however long that is.
	f.addCA("three", start.Add(90*24*time.Hour))
	now = start.Add(rootsKept + time.Second)
	if roots, err := a.Roots(t.Context()); err != nil || len(roots) != 2 || f.count("LIST pki/issuers") != 2 {
		t.Errorf("idle, %d roots were read %d times, %v", len(roots), f.count("LIST pki/issuers"), err)
	}
	// An hour later what is signed comes with what is there then.
	if c, err = issue.Obtain(t.Context(), a, order(t, 2*time.Hour), now); err != nil || len(c.Roots) != 3 {
		t.Fatalf("%v, %v", c, err)
	}
	f.addCA("four", start.Add(90*24*time.Hour))
	a.Refresh()
	if roots, err := a.Roots(t.Context()); err != nil || len(roots) != 4 {
		t.Errorf("%d roots when they are to be read anew, %v", len(roots), err)
	}
	// Those that were known are, while Vault is away.
	now = now.Add(rootsKept + time.Second)
	f.before = func(w http.ResponseWriter, _ *http.Request) bool { f.fail(w, 503, "Vault is sealed"); return true }
	if roots, _, err := a.rootsSince(t.Context(), now); err != nil || len(roots) != 4 {
		t.Errorf("%d roots while it is sealed, %v", len(roots), err)
	}
}

// Over a day with nothing to sign, Vault is asked to renew the token, and nothing else.
func TestIdle(t *testing.T) {
	now := start
	f := newFake(t, func() time.Time { return now })
	a := f.open(t, backends.Vault{Auth: &backends.VaultAuth{Method: "approle", RoleID: "r", SecretIDFile: fileWith(t, "s-1")}})
	if _, err := issue.Obtain(t.Context(), a, order(t, time.Hour), start); err != nil {
		t.Fatal(err)
	}
	clear(f.calls)
	a.client.sleep = func(ctx context.Context, d time.Duration) error {
		for end := now.Add(d); now.Before(end); now = now.Add(10 * time.Minute) { // a daemon looks at everything
			if _, err := a.Roots(ctx); err != nil {
				t.Error(err)
			}
		}
		if now.After(start.Add(24 * time.Hour)) {
			return context.Canceled
		}
		return nil
	}
	a.client.session.keepAlive(a.client)
	if n := f.count("PUT auth/token/renew-self"); len(f.calls) != 1 || n < 24 || n > 36 {
		t.Errorf("it asked %v", f.calls)
	}
}

// Many who see a new issuer at the same time read the issuers once.
func TestOneReading(t *testing.T) {
	now := start
	var mu sync.Mutex
	f := newFake(t, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Millisecond)
		return now
	})
	a := f.open(t, backends.Vault{})
	if _, err := a.Roots(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.addCA("two", start.Add(90*24*time.Hour))
	obtainAtOnce(t, a)
	if n := f.count("LIST pki/issuers"); n != 2 {
		t.Errorf("they were read %d times", n)
	}
}

func TestReferences(t *testing.T) {
	for ref, ok := range map[string]bool{"pki/mesh": true, "team/pki/mesh": true, "pki": true, "": false, "/": false, "pki/../sys/seal": false,
		"pki/mesh?x": false, "pki/me sh": false, "pki//mesh": false, "pki/mesh\n": false} {
		_, err := open(t.Context(), ref, backends.Options{Now: clock})
		if (err == nil) != ok {
			t.Errorf("%q: %v", ref, err)
		}
		if _, is := errors.AsType[*backends.RefError](err); !ok && !is {
			t.Errorf("%q: error %v is no *backends.RefError", ref, err)
		}
	}
}
