package acme

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// What ACME, or a public authority, will not certify is refused before anyone is asked.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const public, own = "https://acme-v02.api.letsencrypt.org/directory", "https://acme.example.com/directory"
	names := func(dns ...string) ca.Names { return ca.Names{DNS: dns} }
	for name, test := range map[string]struct {
		directory string
		settings  backends.ACME
		names     ca.Names
		profile   string
		end       bool // of one's own choosing
		want      string
	}{
		"SPIFFE ID":        {own, backends.ACME{}, ca.Names{DNS: []string{"a.example.com"}, URI: []string{"spiffe://cluster.local/ns/a/sa/b"}}, "workload", false, "no SPIFFE ID is to be had from it; the local authority certifies it"},
		"public SPIFFE ID": {public, backends.ACME{}, ca.Names{URI: []string{"spiffe://cluster.local/ns/a/sa/b"}}, "server", false, "no SPIFFE ID is to be had from Let's Encrypt"},
		"URI":              {own, backends.ACME{}, ca.Names{DNS: []string{"a.example.com"}, URI: []string{"https://a.example.com/x"}}, "server", false, "ACME certifies DNS names and IP addresses"},
		"email":            {own, backends.ACME{}, ca.Names{Email: []string{"ops@example.com"}}, "client", false, "the local authority certifies it"},
		"subject":          {own, backends.ACME{}, ca.Names{DNS: []string{"a.example.com"}, Subject: ca.CommonNameOnly("payment")}, "server", false, "an ACME server makes the subject itself"},
		"no name":          {own, backends.ACME{}, ca.Names{}, "server", false, "there is nothing else to certify"},
		"wildcard":         {own, backends.ACME{HTTPListen: ":80"}, names("*.example.com"), "server", false, "proved by dns-01 alone"},
		"mutual TLS":       {public, backends.ACME{}, names("a.example.com"), "workload", false, "none of Let's Encrypt's profiles has it since July 2026"},
		"client":           {"https://dv.acme-v02.api.pki.goog/directory", backends.ACME{}, names("a.example.com"), "client", false, "Google Trust Services certifies servers alone"},
		"cluster name":     {public, backends.ACME{}, names("payment.prod.svc.cluster.local"), "server", false, "ends in .local, which is no domain of the Internet"},
		"service name":     {public, backends.ACME{}, names("payment.prod.svc"), "server", false, "ends in .svc"},
		"short name":       {public, backends.ACME{}, names("payment"), "server", false, "no domain of the Internet"},
		"public suffix":    {public, backends.ACME{}, names("co.uk"), "server", false, "is a whole public suffix"},
		"private address":  {public, backends.ACME{Profile: "shortlived"}, ca.Names{IP: []string{"10.0.0.5"}}, "server", false, "no address of the Internet"},
		"address":          {public, backends.ACME{}, ca.Names{IP: []string{"192.0.9.9"}}, "server", false, "in its profile shortlived alone"},
		"own end":          {public, backends.ACME{}, names("a.example.com"), "server", true, "Let's Encrypt decides how long"},
	} {
		test.settings.CACert = "/no/such/file" // who asks fails
		a, err := open(test.directory, backends.Options{Dir: t.TempDir(), Now: func() time.Time { return start }, Settings: &test.settings})
		if err != nil {
			t.Fatal(err)
		}
		id, err := ca.NewIdentity(test.names)
		if err != nil {
			t.Fatal(err)
		}
		profile, err := ca.ProfileByName(test.profile)
		if err != nil {
			t.Fatal(err)
		}
		_, err = obtain(t, a, issue.Order{Identity: id, Profile: profile, KeyType: ca.ECP256, Validity: ca.Validity{NotAfter: start.Add(time.Hour), UpTo: !test.end}})
		r, refused := ca.IsRefusal(err)
		if !refused || !strings.Contains(r.Why, test.want) || r.Citation == "" {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

// What a public authority can certify is not held up here.
func TestNotRefused(t *testing.T) {
	t.Parallel()
	a, err := open("https://acme-v02.api.letsencrypt.org/directory", backends.Options{Now: func() time.Time { return start },
		Settings: &backends.ACME{Profile: "shortlived", DNSHook: []string{"hook"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []ca.Name{{Type: ca.DNS, Value: "payment.example.com"}, {Type: ca.DNS, Value: "*.example.co.uk"}, {Type: ca.DNS, Value: "me.github.io"}, {Type: ca.IP, Value: "192.0.9.9"}, {Type: ca.IP, Value: "2606:4700::1111"}} {
		if err := a.Judge(n); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
}

// A request of somebody else's must ask for what is ordered: the server reads it.
func TestForeignRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.authority(t, nil)
	sealed := order(t, "payment.example.com", "ledger.example.com")
	if err := sealed.Seal(); err != nil {
		t.Fatal(err)
	}
	o := order(t, "payment.example.com")
	o.CSR = sealed.CSR
	if _, err := obtain(t, a, o); err == nil || !strings.Contains(err.Error(), "its DNS names are not those that are ordered") {
		t.Errorf("error %v", err)
	}
	if len(s.seen) > 0 {
		t.Errorf("the server was asked: %q", s.seen)
	}
}

func TestOffersNothingUsable(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.offers = []string{"dns-01", "tkauth-01"}
	_, err := obtain(t, s.authority(t, nil), order(t, "payment.example.com"))
	if r, refused := ca.IsRefusal(err); !refused || !strings.Contains(r.Why, "offers dns-01, tkauth-01, and this backend is ready for http-01") {
		t.Errorf("error %v", err)
	}
}

// Tokens become names of files: one that leads elsewhere is none.
func TestTokens(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]bool{"abc-DEF_123": true, "": false, "../../etc/passwd": false, "a/b": false, `a\b`: false, "a.b": false, "a b": false,
		strings.Repeat("a", 256): false} {
		if isToken(token) != want {
			t.Errorf("%q: %t", token, !want)
		}
	}
	for _, solver := range []solver{webroot{t.TempDir()}, newHTTPListener("127.0.0.1:0"), dnsHook{argv: []string{"true"}}} {
		if _, err := solver.present(context.Background(), challengeWith("../x")); err == nil {
			t.Errorf("%s takes any token", solver.kind())
		}
	}
}
