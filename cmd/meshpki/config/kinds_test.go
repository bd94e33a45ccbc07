package config

import (
	"strings"
	"testing"
)

func TestForms(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := strings.Repeat("a.", 126) + "aa"
	cases := map[string]struct{ good, wrong []string }{
		"DNS name": {
			[]string{"a", "a.b", "payment.example.com", "*.example.com", "xn--bcher-kva.example", "_sip.a.b", label + ".a", long[:253], "A.B", "1.2.3.com"},
			[]string{"", ".", "a.", ".a", "a..b", "*", "*.com", "a.*.b", "a*.b.c", "*.*.b.c", "bücher.example", "-a.b", "a-.b", "a b", label + "a.b", long, "10.0.0.5", "*.10.0.0.5", "::1", "a/b", "a:1", "a\x00b"},
		},
		"domain":      {[]string{"cluster.local", "a"}, []string{"*.a.b", "", "a."}},
		"server name": {[]string{"a.b", "10.0.0.5", "fd00::5"}, []string{"*.a.b", "", "a b"}},
		"IP address":  {[]string{"10.0.0.5", "fd00::5", "::ffff:10.0.0.5"}, []string{"", "10.0.0", "10.0.0.0/8", "fe80::1%eth0", "010.0.0.5", "localhost"}},
		"email address": {
			[]string{"a@b.c", "first.last+tag@example.com"},
			[]string{"", "a", "@b.c", "a@", "A <a@b.c>", "a@b.c, d@e.f", "ü@b.c", "a b@c.d"},
		},
		"URI":          {[]string{"spiffe://a/b", "kuma://kuma.io/service/a", "urn:a:b", "https://a.b/c?d=e"}, []string{"", "a", "://a", "a:", "http://a b", "http://ü", "1a:b", "http://%zz"}},
		"SPIFFE ID":    {[]string{"spiffe://a/b", "spiffe://a.b/ns/c/sa/d"}, []string{"", "a", "https://a/b", "spiffe://A/b", "spiffe://a/b/", "spiffe://a//b"}},
		"trust domain": {[]string{"cluster.local", "a_b"}, []string{"", "A", "a/b", "a:1"}},
		"label":        {[]string{"a", "0", "a-b", label}, []string{"", "-a", "a-", "A", "a_b", "a.b", label + "a", "a\n"}},
		"name":         {[]string{"a", "a_b"}, []string{"", "_a", "a_", "A", "a.b", "a\n"}},
		"entry name":   {[]string{"mesh", "Mesh_2", "a.b"}, []string{"", "local", "a b", "a:b", "-a", "a/b"}},
		"backend":      {[]string{"local", "local:issuing", "vault:pki/mesh", "mesh"}, []string{":", "vault:", ":a"}},
		"validity":     {[]string{"30d", "1h30m"}, []string{"", "0", "0d", "-1d", "30"}},
		"cron": {
			[]string{"0 2 * * 2", "*/5 0-6 * * mon-fri", " 0  2 * * SUN ", "0 0 L * *", "0 0 29 2 *"},
			[]string{"", "0 2 * *", "0 0 2 * * 2", "@daily", "TZ=UTC 0 2 * * 2", "60 * * * *", "0 0 30 2 *", "a b c d e"},
		},
		"zone":           {[]string{"UTC", "Local", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"}, []string{"Mars/Olympus", "../x", "/etc/passwd", "europe berlin"}},
		"variable":       {[]string{"LANG", "_a1"}, []string{"", "1a", "A-B", "A=b", "ä"}},
		"unit":           {[]string{"payment.service", "a@b:c.service", "nginx", `dev-x\x2dy.service`}, []string{"", "-a", "a b", "a*", "a/b", strings.Repeat("a", 256)}},
		"percent":        {[]string{"66%"}, []string{"", "0%", "100%"}},
		"mode":           {[]string{"0640"}, []string{"", "0644"}},
		"owner":          {[]string{"a", "a:b", "1000:1000", "a.b-c_d"}, []string{"", ":", "a:", ":b", "a b", "a:b:c"}},
		"account":        {[]string{"a", "1000"}, []string{"", "a:b", "a b", "a/b"}},
		"absolute path":  {[]string{"/", "/run/a"}, []string{"", "a", "./a"}},
		"server address": {[]string{"https://a:8200", "http://127.0.0.1:8200", "unix:///run/agent.sock"}, []string{"", "a:8200", "ftp://a", "https://", "https://a:b@c", "https:///a", "unix://"}},
		"listen address": {[]string{":80", "80", "127.0.0.1:5002", "[::1]:443", "localhost:80"}, []string{"", ":", "a", "127.0.0.1", ":0", ":65536", "a:b"}},
		"web address":    {[]string{"https://a/b", "http://[::1]:80/"}, []string{"", "a", "unix:///a", "https:///a", "http://:80/", "https://a@b"}},
		"endpoint": {
			[]string{"a:1", "10.0.0.5:443", "[::1]:443", "tls://a:443", "https://a", "https://a:8443/x", "smtp://mail", "postgres://db:5432"},
			[]string{"", "a", ":443", "a:", "a:0", "a:65536", "a:https", "tls://a", "tls://:443", "https://:443", "https://a:", "http://a", "ssh://a:22", "https://a:b@c", "::1"},
		},
		"ARN":          {[]string{"arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/1f2e"}, []string{"", "arn:aws:s3:::a", "arn:aws:acm-pca:eu-central-1:1:certificate-authority/1"}},
		"publication":  {[]string{"configmap:prod/mesh-roots", "clustertrustbundle:mesh", "clustertrustbundle:example.com:mesh:roots"}, []string{"", "configmap:a", "configmap:A/b", "configmap:a/../x", "configmap:/a", "clustertrustbundle:a:b", "secret:a/b", "configmap:a/b\n"}},
		"object key":   {[]string{"ca.crt", "a_B-1"}, []string{"", "a b", "a/b", "ä"}},
		"label key":    {[]string{"a", "app.kubernetes.io/name", "A_b.c"}, []string{"", "/a", "a/", "-a", "a b", "cert-manager.io/certificate-name", "meshpki.github.io/set"}},
		"signer name":  {[]string{"example.com/mesh"}, []string{"", "mesh", "example.com/", "a/b/c"}},
		"profile":      {[]string{"gateway", "a-1"}, []string{"", "A", "a_b", "-a"}},
		"profile name": {[]string{"gateway"}, []string{"", "workload", "peer", "A"}},
		"usage":        {[]string{"digital signature", "server auth"}, []string{"", "cert sign", "any", "ocsp signing", "serverAuth"}},
		"cert usage":   {[]string{"signing", "s/mime", "server auth"}, []string{"", "cert sign", "any", "microsoft sgc"}},
		"issuer name":  {[]string{"mesh", "ClusterIssuer/letsencrypt-prod", "a.b"}, []string{"", "/a", "a/", "a b", "A1/b", "a/b/c"}},
		"policy":       {[]string{"1.3.6.1.4.1.99999.1", "2.5.29.32.0"}, []string{"", "1", "3.1", "1.x", "1..2", "1.40"}},
		"subject":      {[]string{"CN=a,O=b", "/O=b/CN=a"}, []string{"", "a", "CN=", "XX=a"}},
		"CRL address": {
			[]string{"http://pki.example.com/{authority}.crl", "http://10.0.0.5:8080/a", "http://[::1]/a", "ldap://ldap.example.com/cn=CA,dc=example?certificateRevocationList;binary"},
			[]string{"", "pki.example.com/a.crl", "https://pki.example.com/a.crl", "ftp://a/b", "file:///a", "http:///a", "http://", "http://a/{service}.crl", "http://a/}", "http://u:p@a/b",
				"http://a/b#c", "http://a/b c", "http://ü/a", "http://a/\x00", "ldap://a", "ldap://a/", "ldap://a/cn=CA", "http://a_b c", "http://-a-/x", "http://a/" + strings.Repeat("a", 1024), "urn:a"},
		},
		"OCSP address":   {[]string{"http://ocsp.example.com", "http://ocsp.example.com/{authority}"}, []string{"", "https://ocsp.example.com", "ldap://a/b?c", "ocsp.example.com"}},
		"issuer address": {[]string{"http://pki.example.com/{authority}.crt", "ldap://a/cn=CA?cACertificate;binary"}, []string{"", "https://a/b", "/a.crt"}},
	}
	for is, f := range forms {
		c, ok := cases[is]
		if !ok {
			t.Errorf("form %q is not tested", is)
		}
		for _, s := range c.good {
			if problem := f.check(s); problem != "" {
				t.Errorf("%s %q: %s", is, s, problem)
			}
		}
		for _, s := range c.wrong {
			if problem := f.check(s); problem == "" {
				t.Errorf("%s takes %q", is, s)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"name", "dns", "spiffeId", "renewAt", "commonName", "secretIdFile", "hook"}
	for word, want := range map[string]string{
		"dsn": "dns", "dn": "dns", "DNS": "dns", "spiffeId": "spiffeId", "spiffe_id": "spiffeId", "renew-at": "renewAt", "common name": "commonName",
		"secretId": "secretIdFile", "hooks": "hook", "nmae": "name", "kind": "", "": "", "x": "", strings.Repeat("n", 100): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"issue", "isue", 1}, {"ab", "ba", 1}, {"abc", "cba", 2}, {"kitten", "sitting", 3}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, not %d", test.a, test.b, got, test.want)
		}
		if there, back := distance(test.a, test.b), distance(test.b, test.a); there != back {
			t.Errorf("%q and %q: %d there, %d back", test.a, test.b, there, back)
		}
	}
}
