package layout_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue/layout"
)

// good is a plan that every layout takes.
var good = layout.Plan{KeyType: ca.ECP256, SPIFFE: true, Server: true, Client: true, CommonName: "payment"}

// Each layout takes what is good, and says of each other plan why its consumer would not.
func TestRefusals(t *testing.T) {
	with := func(change func(*layout.Plan)) layout.Plan {
		p := good
		change(&p)
		return p
	}
	foreign := with(func(p *layout.Plan) { p.Foreign = true })
	client := with(func(p *layout.Plan) { p.Server = false })
	server := with(func(p *layout.Plan) { p.Client = false })
	for _, test := range []struct {
		layout string
		bad    layout.Plan
		says   string
	}{
		{"tls:pkcs1", good, "RFC 8017, Appendix A.1.2"},
		{"tls:sec1", with(func(p *layout.Plan) { p.KeyType = ca.RSA2048 }), "RFC 5915, Section 3"},
		{"combined", foreign, "HAProxy, crt"},
		{"nginx", client, "nginx would refuse it: the certificate is for clients alone"},
		{"envoy", with(func(p *layout.Plan) { p.KeyType = ca.Ed25519 }), "Envoy, TlsCertificate"},
		{"envoy", foreign, "Envoy, TlsCertificate"},
		{"traefik", foreign, "Traefik, TLS certificates"},
		{"traefik", client, "RFC 5280, Section 4.2.1.12"},
		{"postgres", client, "RFC 5280, Section 4.2.1.12"},
		{"postgres:client", with(func(p *layout.Plan) { p.CommonName = "" }), "PostgreSQL, Certificate Authentication"},
		{"postgres:client", server, "servers alone"},
		{"pkcs12", foreign, "RFC 7292, Section 4"},
		{"pkcs12:legacy-des", foreign, "RFC 7292, Section 4"},
		{"jks", foreign, "RFC 7292, Section 4"},
		{"spiffe", with(func(p *layout.Plan) { p.SPIFFE = false }), "X509-SVID, Section 2"},
		{"spiffe", server, "X509-SVID, Section 4.4"},
	} {
		l, err := layout.ByName(test.layout)
		if err != nil {
			t.Fatal(err)
		}
		fine := good
		if strings.HasSuffix(test.layout, "pkcs1") {
			fine.KeyType = ca.RSA2048
		}
		if err := l[0].Check(fine); err != nil {
			t.Errorf("%s: %v", test.layout, err)
		}
		err = l[0].Check(test.bad)
		if _, ok := errors.AsType[*layout.RefusedError](err); !ok || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v, want one with %q", test.layout, err, test.says)
		}
	}
}

func TestPasswords(t *testing.T) {
	for _, test := range []struct{ password, fails string }{
		{"changeit", ""}, {"", "0 characters"}, {"short", "5 characters"}, {"pässword", "beyond printable ASCII"}, {"tab\tulator", "beyond"},
	} {
		l, err := layout.ByName("pkcs12")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = l[0].With([]byte(test.password)); (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%q: %v", test.password, err)
		}
		if err != nil && test.password != "" && strings.Contains(err.Error(), test.password) {
			t.Errorf("the password stands in the error: %v", err)
		}
	}
}

// Without its password a keystore is neither made nor read, and with another one not
// read; it is the same each time, and another with another password.
func TestKeystores(t *testing.T) {
	c := newMaker(t).credential()
	for _, name := range []string{"pkcs12", "pkcs12:legacy-des", "pkcs12:modern-2026", "jks"} {
		l, err := layout.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if files, err := l[0].Encode(c); err == nil {
			t.Errorf("%s: without a password files %q", name, files.Names())
		}
		one, err := l[0].With([]byte(password))
		if err != nil {
			t.Fatal(err)
		}
		two, err := l[0].With([]byte("another one"))
		if err != nil {
			t.Fatal(err)
		}
		files, err := one.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		others, err := two.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		if files.Digest() == others.Digest() {
			t.Errorf("%s: the password makes no difference", name)
		}
		for _, with := range []layout.Named{l[0], two} {
			if _, err := with.Decode(files); err == nil {
				t.Errorf("%s is read without its password", name)
			}
			if _, err := with.Key(files); err == nil {
				t.Errorf("%s: the key is read without its password", name)
			}
		}
	}
}
