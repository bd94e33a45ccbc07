package inspect_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

// drawn writes a family with brackets.
func drawn(list []*inspect.Kin) string {
	var words []string
	for _, k := range list {
		word := k.Certificate.Subject.CommonName
		if k.Above != "" {
			word = k.Above + ">" + word
		}
		if len(k.KeySources) > 0 {
			word += "*"
		}
		if k.CRLs > 0 {
			word += fmt.Sprintf("/%d", k.CRLs)
		}
		if len(k.Below) > 0 {
			word += "(" + drawn(k.Below) + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestFamily(t *testing.T) {
	root := newRoot(t, "Root")
	issuing := root.intermediate(t, "Issuing")
	leaf := issuing.leaf(t)
	stray := newRoot(t, "Else").intermediate(t, "Stray").Certificate
	key := newKey(t)
	keyed := issuing.leafFor(t, key.Public(), func(c *x509.Certificate) { c.Subject.CommonName = "account" })
	// Two that signed each other.
	a, b := newRoot(t, "A"), newRoot(t, "B")
	ab := sign(t, caTemplate("A", a.key.Public()), a.key.Public(), b)
	ba := sign(t, caTemplate("B", b.key.Public()), b.key.Public(), a)

	find := func(certs ...*x509.Certificate) (found []inspect.Found) {
		for i, c := range certs {
			found = append(found, inspect.Found{Source: fmt.Sprint(i), Object: inspect.Object{Kind: inspect.KindCertificate, Certificate: c, DER: c.Raw}})
		}
		return found
	}
	whole := append(find(leaf, issuing.Certificate, root.Certificate, stray, keyed, leaf),
		inspect.Found{Source: "k", Object: inspect.Object{Kind: inspect.KindKey, PublicKey: key.Public()}},
		inspect.Found{Source: "c", Object: parse(t, crlPEM(t, issuing))[0]})
	for want, found := range map[string][]inspect.Found{
		"Root(Issuing/1(payment account*)) CN=Else>Stray": whole,
		"B(A)":                     find(ab, ba),
		"CN=Issuing>payment":       find(leaf),
		"Root":                     find(root.Certificate, root.Certificate),
		"":                         nil,
		"CN=Root>Issuing(payment)": find(issuing.Certificate, leaf),
	} {
		if got := drawn(inspect.Family(found, nil)); got != want && !(want == "B(A)" && got == "A(B)") {
			t.Errorf("%s, want %s", got, want)
		}
	}
	var reports []*inspect.Report
	for _, f := range whole {
		r := inspect.Describe(f.Source, f.Object, at)
		reports = append(reports, &r)
	}
	kin := inspect.Family(whole, reports)
	if got := kin[0].Below[0].Below[0].Sources; len(got) != 2 {
		t.Errorf("the leaf was found in %v", got)
	}
	if by := reports[0].Certificate.IssuedBy; by != reports[1].Certificate.Fingerprint || reports[2].Certificate.IssuedBy != "" {
		t.Errorf("issued by %s", by)
	}
}

// TestFamilyOfThousands: of one name and without key identifiers.
func TestFamilyOfThousands(t *testing.T) {
	leaf := newRoot(t, "Root").leaf(t)
	var found []inspect.Found
	for i := range 500 {
		c := *leaf
		c.Raw = fmt.Appendf(nil, "%d", i)
		c.RawSubject, c.AuthorityKeyId = c.RawIssuer, nil
		found = append(found, inspect.Found{Source: "x", Object: inspect.Object{Kind: inspect.KindCertificate, Certificate: &c}})
	}
	if got := len(inspect.Family(found, nil)); got == 0 {
		t.Error("nobody at the top")
	}
}
