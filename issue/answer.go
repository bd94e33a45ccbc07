package issue

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptoasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// clockSlack is how far an authority's idea of the time may lie from ours.
const clockSlack = 2 * time.Minute

// CheckAnswer holds a credential against the order that it answers: key, names,
// usages, lifetime, shape, and the chain to the roots. What differs is a *Mismatch,
// unless the profile tolerates all of it: then it stands in c.Tolerated, as a life does
// that is shorter than nobody in particular has asked for.
func CheckAnswer(c *Credential, csr []byte, o Order, now time.Time) error {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return fmt.Errorf("certificate request: %w", err)
	}
	return o.check(c, request.PublicKey, now)
}

// check is CheckAnswer for a request of that key.
func (o Order) check(c *Credential, asked crypto.PublicKey, now time.Time) error {
	if len(c.Chain) == 0 || slices.Contains(c.Chain, nil) {
		return wrong(PartChain, "there is no certificate, or a gap in its chain", "")
	}
	if len(c.Roots) == 0 || slices.Contains(c.Roots, nil) {
		return wrong(PartChain, "there are no roots to trust", "")
	}
	var grave, tolerated []Difference
	for _, check := range []func(*Credential, crypto.PublicKey, Order, time.Time) []Difference{
		checkKey, checkNames, checkSubject, checkUsage, checkLife, checkShape, checkOrder,
	} {
		for _, d := range check(c, asked, o, now) {
			switch {
			case mayPass(d.Part) && slices.Contains(o.decided, d.Part):
			case mayPass(d.Part) && o.Profile.Tolerates(d.Part):
				tolerated = append(tolerated, d)
			default:
				grave = append(grave, d)
			}
		}
	}
	if err := mismatch(grave); err != nil {
		return err
	}
	if err := verifyChain(c, o.Ascent, o.verified, now); err != nil {
		return wrong(PartChain, "it does not lead to the authority's roots: "+err.Error(), "RFC 5280, Section 6.1")
	}
	if !slices.Contains(o.decided, PartEnd) {
		tolerated = append(tolerated, checkCut(c, o)...)
	}
	c.Tolerated = tolerated
	return nil
}

// checkCut finds a life that the order leaves to the authority, and that was cut without
// need: its CAs live longer. Nobody has asked for it, so it is told and no error.
func checkCut(c *Credential, o Order) []Difference {
	end := c.Leaf().NotAfter
	if !o.Validity.UpTo || !end.Before(o.Validity.NotAfter.Add(-clockSlack)) {
		return nil
	}
	for _, above := range slices.Concat(c.Chain[1:], c.Roots) {
		if end.After(above.NotAfter.Add(-clockSlack)) {
			return nil
		}
	}
	return []Difference{{Part: PartEnd, What: "its end", Asked: o.Validity.NotAfter.UTC().Format(time.RFC3339), Given: end.UTC().Format(time.RFC3339),
		Citation: "RFC 5280, Section 4.1.2.5"}}
}

// wrong is an error of one difference that needs no comparison.
func wrong(part, what, citation string) *Mismatch {
	return &Mismatch{Difference: Difference{Part: part, What: what, Citation: citation}}
}

func checkKey(c *Credential, asked crypto.PublicKey, _ Order, _ time.Time) []Difference {
	leaf := c.Leaf().PublicKey
	if !pemfile.SamePublicKey(leaf, asked) || c.Key != nil && !pemfile.SamePublicKey(leaf, c.Key.Public()) {
		return []Difference{{Part: PartKey, What: "it is for another key", Citation: "RFC 5280, Section 4.1.2.7"}}
	}
	return nil
}

func checkNames(c *Credential, _ crypto.PublicKey, o Order, _ time.Time) (found []Difference) {
	leaf := c.Leaf()
	var uris, asked []string
	for _, u := range leaf.URIs {
		uris = append(uris, u.String())
	}
	for _, u := range o.Identity.URIs() {
		asked = append(asked, u.String())
	}
	const clause = "RFC 5280, Section 4.2.1.6"
	for _, pair := range []struct {
		part, what   string
		asked, given []string
	}{
		{PartURI, "URIs", asked, uris},
		{PartDNS, "DNS names", o.Identity.DNS(), leaf.DNSNames},
		{PartIP, "IP addresses", ipStrings(o.Identity.IPs()), ipStrings(leaf.IPAddresses)},
		{PartEmail, "email addresses", o.Identity.Emails(), leaf.EmailAddresses},
	} {
		if slices.Equal(pair.asked, pair.given) {
			continue // in the same order, as nearly always
		}
		slices.Sort(pair.asked)
		given := slices.Sorted(slices.Values(pair.given))
		if !slices.Equal(pair.asked, given) {
			found = append(found, Difference{Part: pair.part, What: pair.what, Asked: strings.Join(pair.asked, ", "), Given: strings.Join(given, ", "), Citation: clause})
		}
	}
	if n, known := CountNames(leaf.Extensions), len(leaf.URIs)+len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses); n != known {
		found = append(found, Difference{Part: PartNames, What: "it has names of types that nobody asked for", Citation: clause})
	}
	return found
}

func checkSubject(c *Credential, _ crypto.PublicKey, o Order, _ time.Time) []Difference {
	const clause = "RFC 5280, Section 4.1.2.6"
	if want, err := o.Identity.SubjectDER(); err == nil && bytes.Equal(want, c.Leaf().RawSubject) {
		return nil // as nearly always
	}
	var subject pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.Leaf().RawSubject, &subject); err != nil || len(rest) > 0 {
		return []Difference{{Part: PartSubject, What: "its subject cannot be read", Citation: clause}}
	}
	if asked, given := o.Identity.Subject().String(), subject.String(); asked != given {
		return []Difference{{Part: PartSubject, What: "subject", Asked: asked, Given: given, Citation: clause}}
	}
	return nil
}

// CountNames counts the subject alternative names of every type among the extensions
// of a certificate or a request, those that crypto/x509 does not show too; -1 where
// they cannot be read (RFC 5280, Section 4.2.1.6).
func CountNames(extensions []pkix.Extension) int {
	n := 0
	for _, e := range extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names, name cryptobyte.String
		value := cryptobyte.String(e.Value)
		if !value.ReadASN1(&names, cryptoasn1.SEQUENCE) || !value.Empty() {
			return -1
		}
		for ; !names.Empty(); n++ {
			if !names.ReadAnyASN1(&name, nil) {
				return -1
			}
		}
	}
	return n
}

func ipStrings(ips []net.IP) []string {
	var out []string
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return out
}

func checkUsage(c *Credential, _ crypto.PublicKey, o Order, _ time.Time) (found []Difference) {
	leaf := c.Leaf()
	if want := o.Profile.KeyUsage(ca.KeyTypeOf(leaf.PublicKey)); leaf.KeyUsage&want != want {
		found = append(found, Difference{Part: PartUsage, What: "its key usage lacks what profile " + o.Profile.Name() + " needs", Citation: "RFC 5280, Section 4.2.1.3"})
	}
	if leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		found = append(found, Difference{Part: PartUsageBad, What: "its key usage lets it sign certificates or CRLs", Citation: "X509-SVID, Section 4.3"})
	}
	asked, given := o.Profile.ExtKeyUsage(), leaf.ExtKeyUsage
	if !slices.Equal(asked, given) { // in the same order, as nearly always
		asked, given = slices.Sorted(slices.Values(asked)), slices.Sorted(slices.Values(given))
	}
	if !slices.Equal(asked, given) || len(leaf.UnknownExtKeyUsage) > 0 {
		found = append(found, Difference{Part: PartEKU, What: "its extended key usage is not that of profile " + o.Profile.Name(), Citation: "RFC 5280, Section 4.2.1.12"})
	}
	return found
}

func checkLife(c *Credential, _ crypto.PublicKey, o Order, now time.Time) (found []Difference) {
	leaf := c.Leaf()
	differs := func(part, what string, asked, given time.Time) {
		found = append(found, Difference{Part: part, What: what, Asked: asked.UTC().Format(time.RFC3339), Given: given.UTC().Format(time.RFC3339),
			Citation: "RFC 5280, Section 4.1.2.5"})
	}
	switch asked := o.Validity.NotAfter; {
	case leaf.NotAfter.After(asked.Add(clockSlack)), !o.Validity.UpTo && leaf.NotAfter.Before(asked.Add(-clockSlack)):
		differs(PartEnd, "its end", asked, leaf.NotAfter)
	case leaf.NotBefore.After(now.Add(clockSlack)):
		differs(PartBegin, "its beginning", now, leaf.NotBefore)
	}
	for _, above := range c.Chain[1:] {
		if leaf.NotAfter.After(above.NotAfter) {
			differs(PartChain, "its end, beyond its issuer's", above.NotAfter, leaf.NotAfter)
			return found
		}
	}
	if end := endOfRoots(c); !end.IsZero() && leaf.NotAfter.After(end) {
		differs(PartChain, "its end, beyond its root's", end, leaf.NotAfter)
	}
	return found
}

// endOfRoots is when the last of the roots ends that a chain can lead to; zero where
// there is none, which is for the chain's verification to say.
func endOfRoots(c *Credential) (end time.Time) {
	top := c.Chain[len(c.Chain)-1]
	for _, r := range c.Roots {
		if bytes.Equal(r.RawSubject, top.RawIssuer) && r.NotAfter.After(end) &&
			(len(top.AuthorityKeyId) == 0 || len(r.SubjectKeyId) == 0 || bytes.Equal(top.AuthorityKeyId, r.SubjectKeyId)) {
			end = r.NotAfter
		}
	}
	return end
}

func checkShape(c *Credential, _ crypto.PublicKey, o Order, _ time.Time) []Difference {
	leaf := c.Leaf()
	if leaf.IsCA {
		return []Difference{{Part: PartShape, What: "it is a CA certificate", Citation: "RFC 5280, Section 4.2.1.9"}}
	}
	if !o.Identity.SPIFFEID().IsZero() && !leaf.BasicConstraintsValid {
		return []Difference{{Part: PartShape, What: "it has no basic constraints", Citation: "X509-SVID, Section 4.1"}}
	}
	return nil
}

// checkOrder holds the chain to its form, since a server sends it as it is: each
// certificate is followed by its issuer. Signatures are verified later.
func checkOrder(c *Credential, _ crypto.PublicKey, _ Order, _ time.Time) []Difference {
	for i, above := range c.Chain[1:] {
		below := c.Chain[i]
		if !bytes.Equal(below.RawIssuer, above.RawSubject) ||
			len(below.AuthorityKeyId) > 0 && len(above.SubjectKeyId) > 0 && !bytes.Equal(below.AuthorityKeyId, above.SubjectKeyId) {
			return []Difference{{Part: PartChain, What: fmt.Sprintf("its chain is out of order: certificate %d is not the issuer of the one before it", i+2),
				Citation: "RFC 8446, Section 4.4.2"}}
		}
	}
	return nil
}

// verifyChain checks that the leaf leads to one of the roots. It begins to be
// valid within clockSlack at the latest; the time is taken from then on.
func verifyChain(c *Credential, a *Ascent, verified bool, now time.Time) error {
	if begin := c.Leaf().NotBefore; begin.After(now) {
		now = begin
	}
	return a.verify(c, verified, now)
}
