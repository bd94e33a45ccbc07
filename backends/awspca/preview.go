package awspca

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

var (
	_ ca.Previewer  = (*Authority)(nil)
	_ ca.Foreteller = (*Authority)(nil)
)

// Preview shows what the authority would make of a request, by what is known of it
// and of its templates: nothing is asked for but what it is.
func (a *Authority) Preview(ctx context.Context, req ca.Request) (*x509.Certificate, error) {
	d, o, err := a.foresee(ctx, req)
	if err != nil {
		return nil, err
	}
	t, _ := templateByName(o.template)
	return ca.Foresee(req, d.certificate, o.notBefore, o.notAfter, func(leaf *x509.Certificate) {
		if t.usage != 0 {
			leaf.KeyUsage, leaf.ExtKeyUsage = t.usage, t.extended
		}
		if !t.api {
			leaf.Policies = nil
		}
	})
}

// foresee makes the order of a request, and places it nowhere.
func (a *Authority) foresee(ctx context.Context, req ca.Request) (*description, *order, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	d, err := a.described(ctx)
	if err != nil {
		return nil, nil, err
	}
	o, err := a.orderFor(d, req)
	return d, o, err
}

// Foretell tells which template a request is signed by, and what that keeps, drops and
// adds.
func (a *Authority) Foretell(ctx context.Context, req ca.Request) (out []ca.Foretold, err error) {
	d, o, err := a.foresee(ctx, req)
	if err != nil {
		return nil, err
	}
	t, _ := templateByName(o.template)
	kt := ca.KeyTypeOf(o.csr.PublicKey)
	tell := func(part, value, why string) { out = append(out, ca.Foretold{Part: part, Value: value, Why: why}) }
	tell("template", t.name, a.templateWhy(t, req)+"; "+t.keeps())
	drops := t.drops(req.Profile, kt)
	for _, part := range []string{issue.PartUsage, issue.PartEKU} {
		if i := slices.IndexFunc(drops, func(d drop) bool { return d.part == part }); i >= 0 {
			tell(part, "", "NOT AS ORDERED, and so refused when it comes: the template "+drops[i].says)
		}
	}
	if more := t.surplus(req.Profile, kt); more != "" && !slices.ContainsFunc(drops, func(d drop) bool { return d.part == issue.PartUsage }) {
		tell(issue.PartUsage, "", "the template sets it, and adds "+more+" to that of profile "+req.Profile.Name())
	}
	tell(issue.PartBegin, "", "before now, for clocks that are behind: by an hour, or a tenth of a short life")
	if d.short() && req.Validity.NotAfter.After(o.notAfter) {
		tell(issue.PartEnd, "", "an authority of the mode SHORT_LIVED_CERTIFICATE gives 7 days at the most")
	}
	if d.revokes {
		tell("CRL, OCSP", "the authority's own", "AWS Private CA puts the URLs of its configuration into every certificate")
	}
	return out, nil
}

// templateWhy says why it is that template.
func (a *Authority) templateWhy(t template, req ca.Request) string {
	switch {
	case a.settings.Template != "":
		return "template of the backend's entry"
	case !req.Identity.SPIFFEID().IsZero():
		return "the one for leaves with a SPIFFE ID: their key usage is digitalSignature alone"
	case t.name == blankLeaf:
		return "no other has these usages and takes these names"
	}
	return "the plain one of these usages"
}

// keeps says what a template does with what it is asked for.
func (t template) keeps() string {
	var says []string
	switch {
	case t.usage != 0:
		says = append(says, "it sets key usage and purposes itself")
	case t.api:
		says = append(says, "it keeps key usage, purposes and policies as they are asked for")
	default:
		says = append(says, "it keeps the usages of the request, which has none")
	}
	switch {
	case t.api:
		says = append(says, "takes the names as they are ordered")
	default:
		says = append(says, "takes subject and names from the request")
	}
	if t.csr {
		says = append(says, "passes other extensions of the request through, of which there are none")
	} else {
		says = append(says, "drops other extensions")
	}
	return strings.Join(says, ", ") + ", and adds what says that it is no CA"
}
