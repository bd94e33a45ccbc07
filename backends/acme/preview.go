package acme

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

var (
	_ ca.Previewer  = (*Authority)(nil)
	_ ca.Foreteller = (*Authority)(nil)
)

// Preview shows what is asked for, as far as that can be known: the rest is the server's
// to decide, see Foretell. Nobody is asked.
func (a *Authority) Preview(ctx context.Context, req ca.Request) (*x509.Certificate, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if _, err := a.check(req); err != nil {
		return nil, err
	}
	name, err := asn1.Marshal(pkix.Name{CommonName: "an issuer of " + a.host()}.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	issuer := &x509.Certificate{RawSubject: name, SubjectKeyId: []byte{0}} // nobody knows it yet
	return ca.Foresee(req, issuer, a.options.Now(), req.Validity.NotAfter, nil)
}

// host is the server's name.
func (a *Authority) host() string {
	u, err := url.Parse(a.directory)
	if err != nil { // open has parsed it
		return a.directory
	}
	return u.Hostname()
}

// Foretell tells what an ACME server decides by itself.
func (a *Authority) Foretell(_ context.Context, req ca.Request) (out []ca.Foretold, _ error) {
	const theirs = "the server decides"
	tell := func(part, value, why, citation string) {
		out = append(out, ca.Foretold{Part: part, Value: value, Why: why, Citation: citation})
	}
	profile := "its default profile: profile of the backend's entry names another"
	if a.settings.Profile != "" {
		profile = "profile " + a.settings.Profile + ", of the backend's entry"
	}
	tell("profile", profile, "what the server makes, and for how long", "")
	tell(issue.PartSubject, theirs, "none, or one of the names; an order has no place for it", "RFC 8555, Section 7.4")
	tell(issue.PartUsage, "", "as ordered; the server decides, and what comes back otherwise is not delivered", "")
	tell(issue.PartEKU, "", "as ordered; the server decides, and what comes back otherwise is not delivered", "")
	tell(issue.PartBegin, theirs, "some go back an hour, for clocks that are behind", "")
	switch {
	case req.Validity.UpTo:
		tell(issue.PartEnd, theirs, "by its profile; no end is asked for without --validity", "RFC 8555, Section 7.4")
		tell("due", theirs, "when its renewal information says so, or at 66 % of its life, unless renewAt says otherwise", "RFC 9773, Section 4.2")
	default:
		tell(issue.PartEnd, "", "it is asked for; a server may refuse it, or give another end, which is not delivered", "RFC 8555, Section 7.4")
	}
	issuer := "the chain that it prefers"
	if a.settings.PreferredChain != "" {
		issuer = "the chain under " + a.settings.PreferredChain + ", if it offers one: preferredChain of the backend's entry"
	}
	tell(issue.PartChain, theirs, issuer, "")
	var ways []string
	for _, s := range a.solvers {
		ways = append(ways, s.kind())
	}
	tell("proof", strings.Join(ways, ", "), "how each name is proved to be ours: by the first of these that the server offers", "RFC 8555, Section 8")
	return out, nil
}
