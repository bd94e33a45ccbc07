package vault

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
)

// examiner is a Vault of which one thing is not as it should be.
type examiner struct {
	*fake
	answers map[string]any // by path: a status, or the data of an answer
}

func newExaminer(t *testing.T) *examiner {
	x := &examiner{fake: newFake(t, clock)}
	x.role["allow_any_name"], x.role["allowed_uri_sans"] = true, []any{"spiffe://cluster.local/*"}
	x.answers = map[string]any{
		"sys/health":                 health(start, false),
		"auth/token/lookup-self":     map[string]any{"ttl": 3600, "renewable": true, "policies": []any{"mesh"}},
		"sys/internal/ui/mounts/pki": map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": 87600 * 3600}},
		"sys/capabilities-self":      map[string]any{"pki/sign/mesh": []any{"update"}, "pki/roles/mesh": []any{"read"}, "pki/revoke": []any{"update"}, "auth/token/renew-self": []any{"update"}},
		"pki/config/urls":            map[string]any{},
	}
	x.before = func(w http.ResponseWriter, r *http.Request) bool {
		path := strings.TrimPrefix(r.URL.Path, "/v1/")
		switch answer := x.answers[path].(type) {
		case int:
			x.fail(w, answer, "permission denied")
		case map[string]any:
			if path == "sys/health" {
				_ = json.NewEncoder(w).Encode(answer)
				return true
			}
			x.say(w, answer)
		default:
			return false
		}
		return true
	}
	return x
}

// health is what a server says of itself, at its own time.
func health(at time.Time, enterprise bool) map[string]any {
	return map[string]any{"initialized": true, "sealed": false, "standby": false, "version": "1.21.1", "server_time_utc": at.Unix(), "enterprise": enterprise}
}

func with(m map[string]any, name string, value any) map[string]any {
	m[name] = value
	return m
}

func (x *examiner) check(t *testing.T, s backends.Vault) []backends.Check {
	t.Helper()
	if s.Address == "" {
		s.Address = x.server.URL
	}
	o := order(t, 24*time.Hour)
	found, err := Check(t.Context(), "pki/mesh", backends.Options{Now: clock, Settings: &s, Getenv: environment("VAULT_TOKEN", "s.good")},
		[]backends.Want{{Name: "payment.prod", Identity: o.Identity, Profile: o.Profile, KeyType: "ec-p256", Validity: 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// defect is one thing that is not as it should be, and what is to be found of it.
type defect struct {
	name     string
	wrong    func(x *examiner)
	settings backends.Vault
	check    string
	state    backends.State
	says     string
}

// serverDefects are those of the server and of the token.
func serverDefects() []defect {
	return []defect{
		{name: "good", check: "role", state: backends.StateOK, says: "gives what is ordered"},
		{name: "nobody there", settings: backends.Vault{Address: "http://127.0.0.1:1"}, check: "address", state: backends.StateFailed, says: "connection refused"},
		{name: "not initialized", wrong: func(x *examiner) { x.answers["sys/health"] = with(health(start, false), "initialized", false) }, check: "seal", state: backends.StateFailed, says: "not initialized"},
		{name: "sealed", wrong: func(x *examiner) { x.answers["sys/health"] = with(health(start, false), "sealed", true) }, check: "seal", state: backends.StateFailed, says: "is sealed"},
		{name: "standby", wrong: func(x *examiner) { x.answers["sys/health"] = with(health(start, false), "standby", true) }, check: "seal", state: backends.StateOK, says: "a standby"},
		{name: "clock a little off", wrong: func(x *examiner) { x.answers["sys/health"] = health(start.Add(time.Minute), false) }, check: "clock", state: backends.StateWarning, says: "1m0s before"},
		{name: "clock far behind", wrong: func(x *examiner) { x.answers["sys/health"] = health(start.Add(-time.Hour), false) }, check: "clock", state: backends.StateFailed, says: "1h0m0s behind"},
		{name: "namespace that cannot be", settings: backends.Vault{Namespace: "team-a"}, check: "namespace", state: backends.StateFailed, says: "namespace team-a is asked for"},
		{name: "namespace", wrong: func(x *examiner) { x.answers["sys/health"] = health(start, true) }, settings: backends.Vault{Namespace: "team-a"}, check: "namespace", state: backends.StateOK, says: "team-a is sent"},
		{name: "token unknown", wrong: func(x *examiner) { x.answers["auth/token/lookup-self"] = 403 }, check: "token", state: backends.StateFailed, says: "ended or was revoked"},
		{name: "root token", wrong: func(x *examiner) {
			x.answers["auth/token/lookup-self"] = map[string]any{"ttl": 0, "policies": []any{"root"}}
		}, check: "token", state: backends.StateWarning, says: "may do everything"},
		{name: "endless token", wrong: func(x *examiner) {
			x.answers["auth/token/lookup-self"] = map[string]any{"ttl": 0, "policies": []any{"mesh"}}
		}, check: "token", state: backends.StateWarning, says: "never ends"},
		{name: "token that ends", wrong: func(x *examiner) {
			x.answers["auth/token/lookup-self"] = map[string]any{"ttl": 60, "policies": []any{"mesh"}}
		}, check: "token", state: backends.StateWarning, says: "cannot be renewed"},
	}
}

// mountDefects are those of the mount; lists is a server without any CRL.
func mountDefects(lists string) []defect {
	return []defect{
		{name: "other mount", wrong: func(x *examiner) { x.answers["sys/internal/ui/mounts/pki"] = map[string]any{"type": "kv"} }, check: "mount", state: backends.StateFailed, says: "of type kv"},
		{name: "no mount", wrong: func(x *examiner) { x.answers["pki/issuers"] = 403 }, check: "issuer", state: backends.StateFailed, says: "there is no PKI mount pki"},
		{name: "no mount for root", wrong: func(x *examiner) {
			x.answers["sys/internal/ui/mounts/pki"] = 403
			x.answers["auth/token/lookup-self"] = map[string]any{"ttl": 0, "policies": []any{"root"}}
		}, check: "mount", state: backends.StateFailed, says: "there is no mount pki"},
		{name: "mount unknown", wrong: func(x *examiner) { x.answers["sys/internal/ui/mounts/pki"] = 403 }, check: "mount", state: backends.StateUnknown, says: "tell nothing about pki"},
		{name: "mount that trims", wrong: func(x *examiner) {
			x.answers["sys/internal/ui/mounts/pki"] = map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": 3600}}
		}, check: "role", state: backends.StateFailed, says: "greatest life"},
		{name: "may not sign", wrong: func(x *examiner) {
			x.answers["sys/capabilities-self"] = map[string]any{"pki/sign/mesh": []any{"deny"}}
		}, check: "policy", state: backends.StateFailed, says: "it may not sign"},
		{name: "may not revoke", wrong: func(x *examiner) {
			x.answers["sys/capabilities-self"] = map[string]any{"pki/sign/mesh": []any{"update"}, "pki/roles/mesh": []any{"read"}, "auth/token/renew-self": []any{"update"}}
		}, check: "policy", state: backends.StateWarning, says: "it may not revoke"},
		{name: "reach unknown", wrong: func(x *examiner) { x.answers["sys/capabilities-self"] = 403 }, check: "policy", state: backends.StateUnknown, says: "reach"},
		{name: "role unknown", wrong: func(x *examiner) { x.answers["pki/roles/mesh"] = 403 }, check: "role", state: backends.StateUnknown, says: "cannot be read"},
		{name: "no role", wrong: func(x *examiner) { x.answers["pki/roles/mesh"] = map[string]any{} }, check: "role", state: backends.StateFailed, says: "there is no role"},
		{name: "role that refuses", wrong: func(x *examiner) { x.role["key_type"] = "rsa" }, check: "role", state: backends.StateFailed, says: "only keys of type rsa"},
		{name: "issuer at its end", wrong: func(x *examiner) { x.addCA("short", start.Add(12*time.Hour)) }, check: "issuer", state: backends.StateFailed, says: "before a certificate of"},
		{name: "issuer near its end", wrong: func(x *examiner) { x.addCA("soon", start.Add(36*time.Hour)) }, check: "issuer", state: backends.StateWarning, says: "ends in"},
		{name: "issuer that ended", wrong: func(x *examiner) { x.addCA("ended", start.Add(-time.Minute)) }, check: "issuer", state: backends.StateFailed, says: "ended ended"},
		{name: "young issuer", wrong: func(x *examiner) {
			x.now = func() time.Time { return start.Add(time.Hour - 10*time.Second) } // its CAs begin an hour back
			x.addCA("young", start.Add(60*24*time.Hour))
		}, check: "issuer", state: backends.StateWarning, says: "signs nothing for the first 30 seconds"},
		{name: "revoked issuer", wrong: func(x *examiner) {
			x.answers["pki/issuer/one/json"] = map[string]any{"certificate": armour(x.issuers[0].cert), "revocation_time": 5}
			x.addCA("two", start.Add(60*24*time.Hour))
		}, check: "issuer", state: backends.StateWarning, says: "is revoked"},
		{name: "CRL gone", wrong: func(x *examiner) {
			x.answers["pki/config/urls"] = map[string]any{"crl_distribution_points": []any{lists + "/crl"}}
		}, check: "crl", state: backends.StateFailed, says: "404, without a CRL"},
		{name: "OCSP out of reach", wrong: func(x *examiner) {
			x.answers["pki/config/urls"] = map[string]any{"ocsp_servers": []any{"http://127.0.0.1:1/ocsp"}}
		}, check: "ocsp", state: backends.StateFailed, says: "does not answer"},
		{name: "OCSP", wrong: func(x *examiner) {
			x.answers["pki/config/urls"] = map[string]any{"ocsp_servers": []any{lists}}
		}, check: "ocsp", state: backends.StateOK, says: "answers"},
		{name: "URLs unknown", wrong: func(x *examiner) { x.answers["pki/config/urls"] = 403 }, check: "revocation", state: backends.StateUnknown, says: "cannot be read"},
	}
}

// Each thing that backend check promises to try is found when it does not hold, and
// has a remedy; with nothing wrong nothing is found.
func TestCheckFindsEach(t *testing.T) {
	lists := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(lists.Close)
	for _, c := range append(serverDefects(), mountDefects(lists.URL)...) {
		t.Run(c.name, func(t *testing.T) {
			x := newExaminer(t)
			if c.wrong != nil {
				c.wrong(x)
			}
			held := false
			for _, f := range x.check(t, c.settings) {
				held = held || f.Name == c.check && f.State == c.state && strings.Contains(f.Says, c.says)
				if f.State == backends.StateFailed && f.Remedy == "" {
					t.Errorf("%s has no remedy: %s", f.Name, f.Says)
				}
				if c.name == "good" && f.State != backends.StateOK {
					t.Errorf("%s is %s: %s", f.Name, f.State, f.Says)
				}
			}
			if !held {
				t.Errorf("no %s that is %s and says %q in %v", c.check, c.state, c.says, x.check(t, c.settings))
			}
			if x.count("PUT pki/sign/mesh") != 0 {
				t.Error("something was signed")
			}
		})
	}
}

// TLS is tried as it is: under roots that are not the server's, or that are not there,
// and under a name without an address.
func TestCheckOfTLS(t *testing.T) {
	x := newExaminer(t)
	server := httptest.NewTLSServer(http.HandlerFunc(x.serve))
	t.Cleanup(server.Close)
	state := func(s backends.Vault) (says string) {
		for _, f := range x.check(t, s) {
			if (f.Name == "address" || f.Name == "tls") && f.State != backends.StateOK {
				says += string(f.State) + " " + f.Says + " " + f.Remedy
			}
		}
		return says
	}
	if says := state(backends.Vault{Address: server.URL}); !strings.Contains(says, "failed") || !strings.Contains(says, "not trusted") || !strings.Contains(says, "VAULT_CACERT") {
		t.Errorf("under other roots: %s", says)
	}
	if says := state(backends.Vault{Address: "https://vault.meshpki.invalid:8200"}); !strings.Contains(says, "there is no address of vault.meshpki.invalid") {
		t.Errorf("a name without an address: %s", says)
	}
	if _, err := Check(t.Context(), "pki/mesh", backends.Options{Now: clock, Getenv: environment(), Settings: &backends.Vault{CACert: filepath.Join(t.TempDir(), "none")}}, nil); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("roots that are not there: %v", err)
	}
}

// A token that others on the way can read is warned of; one that does not leave this
// machine is not.
func TestCheckOfClear(t *testing.T) {
	x := newExaminer(t)
	port := x.server.URL[strings.LastIndexByte(x.server.URL, ':'):]
	for _, c := range []struct {
		address string
		warned  bool
	}{{"http://0.0.0.0" + port, true}, {"http://127.0.0.1" + port, false}} {
		warned := slices.ContainsFunc(x.check(t, backends.Vault{Address: c.address}), func(f backends.Check) bool {
			return f.Name == "tls" && f.State == backends.StateWarning && strings.Contains(f.Says, "in the clear") && strings.Contains(f.Remedy, "https://")
		})
		if warned != c.warned {
			t.Errorf("%s: warned %t", c.address, warned)
		}
	}
}

func TestInClear(t *testing.T) {
	for address, want := range map[string]bool{
		"http://vault:8200": true, "HTTP://vault:8200": true, "http://10.0.0.5:8200": true, "http://[fd00::5]:8200": true,
		"http://127.example.com:8200": true, "http://localhost.example.com:8200": true,
		"https://vault:8200": false, "http://localhost:8200": false, "http://127.0.0.1:8200": false, "http://127.1.2.3": false,
		"http://[::1]:8200": false, "http://[::ffff:127.0.0.1]:8200": false, "unix:///run/vault.sock": false,
	} {
		if got := inClear(address); got != want {
			t.Errorf("%s: in the clear %t", address, got)
		}
	}
}

// What Vault's own environment cannot mean is a wrong setting, and a file that is not
// there is a file that is not there.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{"VAULT_RATE_LIMIT": "nonsense", "VAULT_CLIENT_TIMEOUT": "nonsense", "VAULT_SKIP_VERIFY": "nonsense", "VAULT_CACERT": "/nonexistent/roots.pem"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			_, err := open(t.Context(), "pki/mesh", backends.Options{Now: clock, Getenv: environment()})
			_, wrong := errors.AsType[*backends.RefError](err)
			if err == nil || wrong == errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v", err)
			}
		})
	}
}
