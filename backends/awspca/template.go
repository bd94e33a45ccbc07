package awspca

import (
	"crypto/x509"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// blankLeaf is the template that leaves every usage to the request, and the only one
// that a SPIFFE leaf is signed by unless another is set: the others add
// keyEncipherment to its key usage.
const blankLeaf = "BlankEndEntityCertificate_APICSRPassthrough"

// template is what is known of one that leaves are signed by.
type template struct {
	name     string
	usage    x509.KeyUsage // what it sets; 0: what is passed
	extended []x509.ExtKeyUsage
	api, csr bool // what it passes through
}

const bothUsages = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment

// plainTemplates are those that pass nothing through but subject and names of the
// request, and need no right beyond that to ask.
var plainTemplates = []template{
	{name: "EndEntityCertificate", usage: bothUsages, extended: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
	{name: "EndEntityServerAuthCertificate", usage: bothUsages, extended: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
	{name: "EndEntityClientAuthCertificate", usage: bothUsages, extended: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	{name: "CodeSigningCertificate", usage: x509.KeyUsageDigitalSignature, extended: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}},
	{name: "OCSPSigningCertificate", usage: x509.KeyUsageDigitalSignature, extended: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}},
}

// templateByName reads a template for leaves from its name.
func templateByName(name string) (template, bool) {
	base, suffix, _ := strings.Cut(name, "_")
	suffix, critical := strings.CutPrefix(suffix, "CriticalBasicConstraints_")
	t := template{name: name}
	switch suffix {
	case "":
	case "CSRPassthrough":
		t.csr = true
	case "APIPassthrough":
		t.api = true
	case "APICSRPassthrough":
		t.api, t.csr = true, true
	default:
		return t, false
	}
	if base == "BlankEndEntityCertificate" {
		return t, t.api || t.csr
	}
	for _, p := range plainTemplates {
		if p.name == base && !critical {
			t.usage, t.extended = p.usage, p.extended
			return t, true
		}
	}
	return t, false
}

func validTemplate(name string) bool {
	_, ok := templateByName(name)
	return ok
}

// choose gives the template for a certificate: the one that is set; for a SPIFFE leaf
// the blank one; else the plain one of its usages, where there is one and the request
// says of names and subject what the order says.
func choose(set string, id ca.Identity, p ca.Profile, kt ca.KeyType, requestAgrees bool) template {
	if t, ok := templateByName(set); ok && set != "" {
		return t
	}
	if id.SPIFFEID().IsZero() && requestAgrees {
		for _, t := range plainTemplates {
			if t.serves(p, kt) {
				return t
			}
		}
	}
	t, _ := templateByName(blankLeaf)
	return t
}

// serves tells whether a template that sets the usages sets those of a profile.
func (t template) serves(p ca.Profile, kt ca.KeyType) bool {
	want := p.KeyUsage(kt)
	return len(apiPolicies(p)) == 0 && t.usage&want == want && sameUsages(t.extended, p.ExtKeyUsage())
}

func sameUsages(a, b []x509.ExtKeyUsage) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// drop is what a template does not give of what is asked.
type drop struct {
	part string // as in issue.Difference
	says string
}

// drops foretells what a template makes otherwise than it is asked.
func (t template) drops(p ca.Profile, kt ca.KeyType) (out []drop) {
	want := p.KeyUsage(kt)
	switch {
	case t.usage == 0 && !t.api:
		out = append(out, drop{issue.PartUsage, "takes the usages from the request, which states none"}, drop{issue.PartEKU, "takes the usages from the request, which states none"})
		return out
	case t.usage == 0:
		return nil
	case t.usage&want != want:
		out = append(out, drop{issue.PartUsage, "sets the key usage itself, and not that of profile " + p.Name()})
	}
	if !sameUsages(t.extended, p.ExtKeyUsage()) {
		out = append(out, drop{issue.PartEKU, "sets the extended key usage itself, and not that of profile " + p.Name()})
	}
	return out
}

// surplus is what a template adds to the key usage of a profile; "" for nothing.
func (t template) surplus(p ca.Profile, kt ca.KeyType) string {
	if more := t.usage &^ p.KeyUsage(kt); t.usage != 0 && more&x509.KeyUsageKeyEncipherment != 0 {
		return "keyEncipherment"
	}
	return ""
}
