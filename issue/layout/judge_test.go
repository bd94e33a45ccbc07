package layout_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// verdictOf gives the rules by which a mesh refuses files; ok is false where they are
// not taken for its own.
func verdictOf(consumer, name string, f issue.Files, h *layout.Handover) (rules []string, ok bool) {
	for _, v := range layout.Judge(name, f, h.Now) {
		if v.Consumer != consumer {
			continue
		}
		for _, found := range v.Findings {
			if found.Severity == inspect.SeverityError {
				rules = append(rules, found.Rule)
			}
		}
		return rules, true
	}
	return nil, false
}

// TestJudge: what is handed out is loaded, and each way to spoil it is found.
func TestJudge(t *testing.T) {
	tried := map[string]bool{}
	for consumer, p := range map[string]struct{ chain, key string }{
		"istio": {"ca-cert.pem", "ca-key.pem"}, "linkerd": {"crt.pem", "key.pem"}, "dapr": {"issuer.crt", "issuer.key"},
		"kuma": {"ca.crt", "ca.key"}, "spire": {"upstream.crt", "upstream.key"},
	} {
		c, err := layout.ConsumerByName(consumer)
		if err != nil {
			t.Fatal(err)
		}
		h := handover(t, 0, 0)
		if err := c.Settle(h); err != nil {
			t.Fatal(err)
		}
		out, err := c.Hand(h, false)
		if err != nil {
			t.Fatal(err)
		}
		if rules, ok := verdictOf(consumer, "anywhere", out.Files, h); !ok || len(rules) > 0 {
			t.Errorf("%s: what is handed out: %v, %v", consumer, rules, ok)
		}
		spoil := func(want string, change func(f issue.Files)) {
			t.Helper()
			f := maps.Clone(out.Files)
			change(f)
			rules, ok := verdictOf(consumer, "cacerts", f, h)
			if !ok || !slices.Contains(rules, want) {
				t.Errorf("%s: %v, want %s", consumer, rules, want)
			}
			tried[want] = true
		}
		certs := out.Files[p.chain].Data
		other, err := pemfile.EncodeKey(anyKey(t))
		if err != nil {
			t.Fatal(err)
		}
		spoil(consumer+"-key-differs", func(f issue.Files) { f[p.key] = issue.File{Data: other} })
		spoil(consumer+"-files-unreadable", func(f issue.Files) {
			f[p.key] = issue.File{Data: []byte("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n")}
		})
		if consumer != "kuma" && consumer != "spire" { // those have two files, and without one they are none
			spoil(consumer+"-files-missing", func(f issue.Files) { delete(f, p.key) })
		} else {
			tried[consumer+"-files-missing"] = true
		}
		switch consumer {
		case "linkerd":
			spoil("linkerd-pem-text-behind", func(f issue.Files) { f[p.chain] = issue.File{Data: append(bytes.Clone(certs), '\n')} })
			fallthrough
		case "dapr":
			spoil(consumer+"-pem-other-block", func(f issue.Files) { f[p.chain] = issue.File{Data: slices.Concat(other, certs)} })
		}
	}
	for _, r := range layout.JudgeRules() {
		if !tried[r.ID] && !strings.HasPrefix(r.ID, "tls-") || r.Citation == "" || r.Title == "" {
			t.Errorf("%+v: tried %v", r, tried[r.ID])
		}
	}
}

// TestJudgeByName: a Secret's name says whose it is, whatever is in it.
func TestJudgeByName(t *testing.T) {
	h := handover(t, 0, 0)
	f := issue.Files{"ca.pem": {Data: pemfile.EncodeCertificates(h.Chain...)}, "root.pem": {Data: pemfile.EncodeCertificates(h.Roots...)}}
	if rules, ok := verdictOf("istio", "cacerts", f, h); !ok || !slices.Equal(rules, []string{"istio-files-missing"}) {
		t.Errorf("files of other names: %v, %v", rules, ok)
	}
	if rules, ok := verdictOf("istio", "certs", f, h); ok {
		t.Errorf("files of other names, elsewhere: %v", rules)
	}
}

func anyKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestJudgeService judges what a service has.
func TestJudgeService(t *testing.T) {
	h := handover(t, 1, 0)
	key := anyKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(9), DNSNames: []string{"payment"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, h.Chain[0], key.Public(), h.Key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	text := func(certs ...*x509.Certificate) issue.File {
		return issue.File{Data: pemfile.EncodeCertificates(certs...)}
	}
	keyed := func(key crypto.Signer) issue.File {
		data, err := pemfile.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return issue.File{Data: data}
	}
	good := issue.Files{"tls.crt": text(append([]*x509.Certificate{leaf}, h.Chain...)...), "tls.key": keyed(key), "ca.crt": text(h.Roots...)}
	tried := map[string]bool{}
	for want, change := range map[string]func(f issue.Files){
		"":                      func(issue.Files) {},
		"tls-key-differs":       func(f issue.Files) { f["tls.key"] = keyed(anyKey(t)) },
		"tls-ca-without-root":   func(f issue.Files) { f["ca.crt"] = text(h.Chain...) },
		"tls-chain-interrupted": func(f issue.Files) { f["tls.crt"] = text(leaf) },
	} {
		f := maps.Clone(good)
		change(f)
		got := ""
		for _, found := range layout.JudgeService(f, now) {
			got += found.Rule
		}
		if got != want {
			t.Errorf("%q: %q", want, got)
		}
		tried[want] = true
	}
	for _, r := range layout.JudgeRules() {
		if strings.HasPrefix(r.ID, "tls-") && !tried[r.ID] {
			t.Errorf("%s is not tried", r.ID)
		}
	}
	if got := layout.JudgeService(issue.Files{}, now); got != nil {
		t.Errorf("nothing: %v", got)
	}
}
