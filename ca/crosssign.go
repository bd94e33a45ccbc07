package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// Cross says what cross-signature is wanted (RFC 5280, Section 3.2): another
// certificate for the subject and key of a CA that has one already.
type Cross struct {
	// Certificate is the CA's own.
	Certificate *x509.Certificate
	// NotAfter is the end that is asked for; zero is the latest that there can be.
	NotAfter time.Time
	// Constraints narrow it further; of another's CA they must not be empty.
	Constraints Constraints
	// Foreign says that the CA is another's.
	Foreign bool
}

// CrossSign certifies subject and key of another CA under this one and records it
// before it returns. The certificate is never wider than that CA's own, nor than
// this CA: in path length, name constraints, usages and life. What cannot be is a
// *Refusal or a *ValidityError.
func (i *Issuer) CrossSign(ctx context.Context, o Cross) (*x509.Certificate, error) {
	if o.Foreign && o.Constraints.Empty() {
		return nil, &Refusal{"cross-signing " + caName(o.Certificate), "it is another's, and would be trusted for every name: constraints must say for which", "RFC 5280, Section 4.2.1.10"}
	}
	if err := o.Constraints.Validate(); err != nil {
		return nil, err
	}
	if end := o.Certificate.NotAfter; !i.Now().Before(end) {
		return nil, &Refusal{"cross-signing " + caName(o.Certificate), "it expired on " + end.UTC().Format(time.DateOnly), "RFC 5280, Section 4.1.2.5"}
	}
	template, err := i.draftAgain(ctx, o.Certificate)
	if err != nil {
		return nil, err
	}
	if err := i.narrowAll(template, o); err != nil {
		return nil, err
	}
	if err := i.crossLife(template, o); err != nil {
		return nil, err
	}
	return i.signAgain(ctx, template, o.Certificate, "cross-signature")
}

// ReissueCA certifies again a CA that this one has certified: the same subject,
// key, path length, usages and constraints, for another time. It is recorded before
// it is returned. What cannot be is a *Refusal or a *ValidityError.
func (i *Issuer) ReissueCA(ctx context.Context, old *x509.Certificate, v Validity) (*x509.Certificate, error) {
	if !bytes.Equal(old.RawIssuer, i.Certificate.RawSubject) || old.CheckSignatureFrom(i.Certificate) != nil {
		return nil, &Refusal{"re-issuing " + caName(old), "it was not signed by " + caName(i.Certificate), "RFC 5280, Section 6.1.3"}
	}
	template, err := i.draftAgain(ctx, old)
	if err != nil {
		return nil, err
	}
	if template.NotBefore, template.NotAfter, err = i.settle(v); err != nil {
		return nil, err
	}
	return i.signAgain(ctx, template, old, "re-issued")
}

// draftAgain makes the template of another certificate for a CA, without a validity.
func (i *Issuer) draftAgain(ctx context.Context, c *x509.Certificate) (*x509.Certificate, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := i.checkAgain(c); err != nil {
		return nil, err
	}
	revoked, err := i.Ledger.Revoked(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the revocations: %w", err)
	}
	if e, gone := revoked.Certificate(c); gone {
		return nil, &Refusal{"certifying " + caName(c), fmt.Sprintf("it was revoked on %s (%s)", e.At.UTC().Format(time.DateOnly), e.Reason), "RFC 5280, Section 6.1.3"}
	}
	if err := i.checkRevoked(ctx, &x509.CertificateRequest{RawSubjectPublicKeyInfo: c.RawSubjectPublicKeyInfo}); err != nil {
		return nil, err
	}
	t := like(c)
	t.RawSubject, t.SubjectKeyId, t.AuthorityKeyId = c.RawSubject, c.SubjectKeyId, i.Certificate.SubjectKeyId
	if err := i.fitPathLength(t, c); err != nil {
		return nil, err
	}
	i.URLs.apply(t)
	return t, nil
}

// like is a template with the usages, names and constraints of a CA's certificate.
func like(c *x509.Certificate) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: newSerial(), KeyUsage: c.KeyUsage & (x509.KeyUsageCertSign | x509.KeyUsageCRLSign),
		ExtKeyUsage: c.ExtKeyUsage, BasicConstraintsValid: true, IsCA: true,
		DNSNames: c.DNSNames, IPAddresses: c.IPAddresses, EmailAddresses: c.EmailAddresses, URIs: c.URIs,
		PermittedDNSDomains: c.PermittedDNSDomains, ExcludedDNSDomains: c.ExcludedDNSDomains, PermittedURIDomains: c.PermittedURIDomains, ExcludedURIDomains: c.ExcludedURIDomains,
		PermittedIPRanges: c.PermittedIPRanges, ExcludedIPRanges: c.ExcludedIPRanges, PermittedEmailAddresses: c.PermittedEmailAddresses, ExcludedEmailAddresses: c.ExcludedEmailAddresses,
		PermittedDNSDomainsCritical: constrained(c),
	}
}

// checkAgain refuses what cannot be certified under this CA.
func (i *Issuer) checkAgain(c *x509.Certificate) error {
	what := "certifying " + caName(c)
	switch {
	case !c.IsCA || !c.BasicConstraintsValid:
		return &Refusal{what, "it is no CA certificate", "RFC 5280, Section 4.2.1.9"}
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		return &Refusal{what, "it may not sign certificates", "RFC 5280, Section 4.2.1.3"}
	case len(c.SubjectKeyId) == 0:
		return &Refusal{what, "it has no subject key identifier, by which what it signed is found to be its own", "RFC 5280, Section 4.2.1.2"}
	case len(c.UnhandledCriticalExtensions) > 0:
		return &Refusal{what, "it has a critical extension that is not known here, " + c.UnhandledCriticalExtensions[0].String(), "RFC 5280, Section 4.2"}
	case len(c.UnknownExtKeyUsage) > 0:
		return &Refusal{what, "it has an extended key usage that is not known here, " + c.UnknownExtKeyUsage[0].String(), "RFC 5280, Section 4.2.1.12"}
	case len(c.RawSubject) <= 2:
		return &Refusal{what, "it has no subject", "RFC 5280, Section 4.1.2.6"}
	}
	for _, above := range i.chain() {
		if pemfile.SamePublicKey(above.PublicKey, c.PublicKey) {
			return &Refusal{what, "it is the signer itself, or stands above it", "RFC 5280, Section 6.1"}
		}
		if len(above.ExtKeyUsage)+len(above.UnknownExtKeyUsage) > 0 && !slices.Contains(above.ExtKeyUsage, x509.ExtKeyUsageAny) {
			for _, use := range orAny(c.ExtKeyUsage) {
				if !slices.Contains(above.ExtKeyUsage, use) {
					return &Refusal{what, "it would serve for more than " + caName(above) + " may", "RFC 5280, Section 4.2.1.12"}
				}
			}
		}
	}
	if err := CheckKey(c.PublicKey); err != nil {
		return err
	}
	for _, n := range namesIn(c) {
		if err := i.Judge(n); err != nil {
			return err
		}
	}
	return nil
}

// orAny is what a CA certificate may serve for: anything, where it does not say.
func orAny(uses []x509.ExtKeyUsage) []x509.ExtKeyUsage {
	if len(uses) == 0 {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	return uses
}

// namesIn are the alternative names of a certificate.
func namesIn(c *x509.Certificate) (names []Name) {
	for _, s := range c.DNSNames {
		names = append(names, Name{DNS, s})
	}
	for _, a := range c.IPAddresses {
		names = append(names, Name{IP, a.String()})
	}
	for _, s := range c.EmailAddresses {
		names = append(names, Name{Email, s})
	}
	for _, u := range c.URIs {
		names = append(names, Name{URI, u.String()})
	}
	return names
}

// fitPathLength gives a template the path length of a CA certificate, cut to what
// there is room for under this CA.
func (i *Issuer) fitPathLength(t, c *x509.Certificate) error {
	t.MaxPathLen = -1
	if c.MaxPathLen > 0 || c.MaxPathLenZero {
		t.MaxPathLen = c.MaxPathLen
	}
	for depth, above := range i.chain() {
		if above.MaxPathLen <= 0 && !above.MaxPathLenZero {
			continue
		}
		room := above.MaxPathLen - 1 - depth
		if room < 0 {
			return &Refusal{"certifying " + caName(c), fmt.Sprintf("%s has path length %d", caName(above), above.MaxPathLen), "RFC 5280, Section 4.2.1.9"}
		}
		if t.MaxPathLen < 0 || t.MaxPathLen > room {
			t.MaxPathLen = room
		}
	}
	t.MaxPathLenZero = t.MaxPathLen == 0
	return nil
}

// crossLife settles the validity of a cross-signature: within that of the CA's own
// certificate and of all above.
func (i *Issuer) crossLife(t *x509.Certificate, o Cross) (err error) {
	v := Validity{NotAfter: o.NotAfter}
	if v.NotAfter.IsZero() {
		v.NotAfter, v.UpTo = o.Certificate.NotAfter, true
	}
	if v.NotAfter.After(o.Certificate.NotAfter) {
		return &ValidityError{Problem: fmt.Sprintf("a cross-signature until %s would outlive the certificate of %s, which ends %s",
			v.NotAfter.UTC().Format(time.RFC3339), caName(o.Certificate), o.Certificate.NotAfter.UTC().Format(time.RFC3339))}
	}
	if t.NotBefore, t.NotAfter, err = i.settle(v); err != nil {
		return err
	}
	if t.NotBefore.Before(o.Certificate.NotBefore) {
		t.NotBefore = o.Certificate.NotBefore
	}
	return nil
}

// signAgain signs, holds what came out against the CA that it is for, and records it.
func (i *Issuer) signAgain(ctx context.Context, t, c *x509.Certificate, note string) (*x509.Certificate, error) {
	cert, err := sign(t, i.Certificate, c.PublicKey, i.Signer)
	if err != nil {
		return nil, err
	}
	entry := EntryOf(KindCA, cert, i.Now())
	entry.Note = note
	if err := i.Ledger.Record(ctx, entry); err != nil {
		return nil, fmt.Errorf("record the certificate: %w", err)
	}
	return cert, nil
}
