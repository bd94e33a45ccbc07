package inspect_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// lintSource gives the rules that a source breaks, those that are told of what stands
// alone left out.
func lintSource(t *testing.T, data []byte) []string {
	t.Helper()
	objects := parse(t, data)
	reports := inspect.DescribeAll("test", objects, at)
	inspect.LintAll(data, objects, reports)
	var rules []string
	for _, r := range reports {
		rules = append(rules, rulesOf(r.Findings)...)
	}
	return rules
}

// brokenSources has for each rule on a source as a whole one that breaks it and no other.
func brokenSources(t *testing.T) map[string][]byte {
	root := newRoot(t, "Root")
	issuing := root.intermediate(t, "Issuing")
	below := issuing.intermediate(t, "Below")
	key := newKey(t)
	leaf := pemOf(below.leaf(t))
	text := func(list ...any) []byte {
		var out []byte
		for _, one := range list {
			switch one := one.(type) {
			case *authority:
				out = append(out, pemOf(one.Certificate)...)
			case []byte:
				out = append(out, one...)
			}
		}
		return out
	}
	return map[string][]byte{
		"chain-order":             text(leaf, issuing, below),
		"chain-order:upside-down": text(root, issuing),
		"chain-interrupted":       text(leaf, issuing),
		"chain-with-root":         text(leaf, below, issuing, root),
		"key-without-certificate": text(leaf, keyPEM(t, newKey(t))),
		"pem-line-ends":           bytes.ReplaceAll(leaf, []byte("\n"), []byte("\r\n")),
		"pem-text-behind":         append(text(leaf, below), '\n'),
		"pem-text-behind:words":   append(text(leaf), "that was it\n"...),
		"":                        text(leaf, below, issuing),
		":bundle":                 text(root, newRoot(t, "Other")),
		":two leaves":             text(leaf, newRoot(t, "Third").leafPEM(t)),
		":with its key":           text(pemOf(root.leafFor(t, key.Public())), keyPEM(t, key)),
	}
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (a *authority) leafPEM(t *testing.T) []byte { return pemOf(a.leaf(t)) }

// TestLintAll breaks each rule on a source as a whole.
func TestLintAll(t *testing.T) {
	for name, data := range brokenSources(t) {
		var want []string
		if rule, _, _ := bytes.Cut([]byte(name), []byte(":")); len(rule) > 0 {
			want = []string{string(rule)}
		}
		if got := lintSource(t, data); !slices.Equal(got, want) {
			t.Errorf("%q: found %v", name, got)
		}
	}
}
