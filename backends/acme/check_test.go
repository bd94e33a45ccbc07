package acme

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
)

func wanted(t *testing.T, profile string, names ca.Names) backends.Want {
	t.Helper()
	id, err := ca.NewIdentity(names)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.ProfileByName(profile)
	if err != nil {
		t.Fatal(err)
	}
	return backends.Want{Name: "payment.prod", Identity: id, Profile: p, KeyType: ca.ECP256, Validity: time.Hour}
}

// checked is what a check says, by name: its state, and what it says.
func checked(t *testing.T, a *Authority, wants ...backends.Want) map[string]backends.Check {
	t.Helper()
	o := a.options
	o.Settings = &a.settings
	list, err := Check(t.Context(), a.directory, o, wants)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]backends.Check{}
	for _, c := range list {
		if found[c.Name] = c; c.State == backends.StateFailed && c.Remedy == "" {
			t.Errorf("%s fails without a remedy: %s", c.Name, c.Says)
		}
	}
	return found
}

// Every assumption is tried, and each that does not hold is told with its remedy;
// nothing is ordered, and no account is made.
func TestCheck(t *testing.T) {
	t.Parallel()
	server := wanted(t, "server", ca.Names{DNS: []string{"payment.example.com"}})
	for name, test := range map[string]struct {
		change func(s *acmeServer, a *Authority)
		want   backends.Want
		check  string
		state  backends.State
		says   string
	}{
		"all is well":     {nil, server, "server", backends.StateOK, "agrees to https://acme.example.com/terms"},
		"no account yet":  {nil, server, "account", backends.StateOK, "the first order makes it"},
		"no renewal info": {nil, server, "renewal", backends.StateWarning, "the clock alone decides"},
		"renewal info":    {func(s *acmeServer, _ *Authority) { s.renewal = window(0, 0) }, server, "renewal", backends.StateOK, "tells when to renew"},
		"not trusted":     {func(_ *acmeServer, a *Authority) { a.settings.CACert = a.settings.Roots }, server, "server", backends.StateFailed, "is not trusted"},
		"not there": {func(s *acmeServer, a *Authority) {
			s.http.Close()
		}, server, "server", backends.StateFailed, "the authority is away"},
		"binding":        {func(s *acmeServer, _ *Authority) { s.eab = true }, server, "account", backends.StateFailed, "demands an external account binding"},
		"no binding key": {func(_ *acmeServer, a *Authority) { a.settings.EABKeyFile = "/no/such/file" }, server, "account", backends.StateFailed, "/no/such/file"},
		"no account key": {func(_ *acmeServer, a *Authority) { a.settings.AccountKeyFile = "/no/such/key" }, server, "account", backends.StateFailed, "/no/such/key"},
		"profile": {func(s *acmeServer, a *Authority) {
			s.profiles, a.settings.Profile = map[string]string{"short": ""}, "long"
		}, server, "profile", backends.StateFailed, `has no "long": it has short`},
		"roots":         {func(_ *acmeServer, a *Authority) { a.settings.Roots = "/no/such/roots" }, server, "roots", backends.StateFailed, "/no/such/roots"},
		"unknown roots": {func(_ *acmeServer, a *Authority) { a.settings.Roots = "" }, server, "roots", backends.StateUnknown, "found out by the first order"},
		"listener":      {nil, server, "http-01", backends.StateOK, "sees as port 80"},
		"port taken": {func(s *acmeServer, a *Authority) {
			a.settings.HTTPListen = s.http.Listener.Addr().String()
		}, server, "http-01", backends.StateFailed, "address already in use"},
		"webroot":    {func(_ *acmeServer, a *Authority) { a.settings.HTTPWebroot = filepath.Dir(a.settings.Roots) }, server, "http-01", backends.StateOK, "can be answered from"},
		"no webroot": {func(_ *acmeServer, a *Authority) { a.settings.HTTPWebroot = "/no/such/dir" }, server, "http-01", backends.StateFailed, "/no/such/dir"},
		"no hook":    {func(_ *acmeServer, a *Authority) { a.settings.DNSHook = []string{"no-such-hook"} }, server, "dns-01", backends.StateFailed, "no program"},
		"it will do": {nil, server, "payment.prod", backends.StateOK, "can be certified"},
		"SPIFFE ID": {nil, wanted(t, "workload", ca.Names{DNS: []string{"payment.example.com"}, URI: []string{"spiffe://cluster.local/a"}}),
			"payment.prod", backends.StateFailed, "no SPIFFE ID"},
		"wildcard": {nil, wanted(t, "server", ca.Names{DNS: []string{"payment.example.com", "*.example.com"}}), "payment.prod", backends.StateWarning, "left out"},
		"nothing":  {nil, wanted(t, "server", ca.Names{DNS: []string{"*.example.com"}}), "payment.prod", backends.StateFailed, "none of its names"},
	} {
		s := newServer(t)
		a := s.authority(t, func(a *Authority) {
			if test.change != nil {
				test.change(s, a)
			}
		})
		found := checked(t, a, test.want)[test.check]
		if found.State != test.state || !strings.Contains(found.Says, test.says) {
			t.Errorf("%s: %s is %s: %s", name, test.check, found.State, found.Says)
		}
		if len(s.orders)+len(s.accounts) > 0 {
			t.Errorf("%s: %d orders, %d accounts", name, len(s.orders), len(s.accounts))
		}
		if _, err := os.Stat(a.keyPath()); err == nil {
			t.Errorf("%s: a key was made", name)
		}
	}
}

// acmeServer is the fixture, where server is a want.
type acmeServer = server

func TestCheckAccount(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.authority(t, nil)
	want(t, a, order(t, "payment.example.com"))
	if found := checked(t, a)["account"]; found.State != backends.StateOK || !strings.Contains(found.Says, "/accounts/1") {
		t.Errorf("%s: %s", found.State, found.Says)
	}
	clear(s.accounts)
	if found := checked(t, a)["account"]; found.State != backends.StateOK || !strings.Contains(found.Says, "its key is there") {
		t.Errorf("%s: %s", found.State, found.Says)
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	found, err := Suggest("https://vault.example.com:8200/v1/pki/roles/mesh/acme/directory", backends.Options{}, []backends.Want{wanted(t, "server", ca.Names{DNS: []string{"*.example.com"}})})
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, s := range found {
		all += s.Form + "\n" + s.Text
	}
	for _, want := range []string{"directory: https://vault.example.com:8200/v1/pki/roles/mesh/acme/directory", "dns: {hook:", "vault write pki/config/cluster path=https://vault.example.com:8200/v1/pki\n", "location /.well-known/acme-challenge/"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
}
