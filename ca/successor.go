package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"
)

// Successor says what takes the place of a CA: a key of its own under a name of its
// own; shape and constraints are those of the CA before it.
type Successor struct {
	CommonName string
	Validity   Validity
}

// SucceedCA certifies another key to take the place of a CA that this one may have
// certified, with its path length, names, usages and constraints. It is recorded
// before it is returned. That the CA before it was revoked is no hindrance. What
// cannot be is a *Refusal, a *NameError or a *ValidityError.
func (i *Issuer) SucceedCA(ctx context.Context, old *x509.Certificate, s Successor, pub crypto.PublicKey) (*x509.Certificate, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := i.checkAgain(old); err != nil {
		return nil, err
	}
	t, spki, err := s.template(old, pub)
	if err != nil {
		return nil, err
	}
	if err := i.checkRevoked(ctx, &x509.CertificateRequest{RawSubjectPublicKeyInfo: spki}); err != nil {
		return nil, err
	}
	if err := i.fitPathLength(t, old); err != nil {
		return nil, err
	}
	if t.NotBefore, t.NotAfter, err = i.settle(s.Validity); err != nil {
		return nil, err
	}
	t.AuthorityKeyId = i.Certificate.SubjectKeyId
	i.URLs.apply(t)
	cert, err := sign(t, i.Certificate, pub, i.Signer)
	if err != nil {
		return nil, err
	}
	return recordCA(ctx, i.Ledger, cert, i.Now())
}

// SucceedRoot makes the self-signed certificate of the key that takes the place of a
// root, and records it before it returns it. now is the time of the record.
func SucceedRoot(ctx context.Context, old *x509.Certificate, s Successor, signer crypto.Signer, ledger Ledger, now time.Time) (*x509.Certificate, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	t, _, err := s.template(old, signer.Public())
	if err != nil {
		return nil, err
	}
	t.MaxPathLen = -1
	if old.MaxPathLen > 0 || old.MaxPathLenZero {
		t.MaxPathLen, t.MaxPathLenZero = old.MaxPathLen, old.MaxPathLenZero
	}
	t.NotBefore, t.NotAfter = s.Validity.NotBefore.UTC(), s.Validity.NotAfter.UTC()
	if !t.NotAfter.After(t.NotBefore) {
		return nil, &ValidityError{Problem: "a CA certificate must end after it begins"}
	}
	t.AuthorityKeyId = t.SubjectKeyId
	cert, err := sign(t, t, signer.Public(), signer)
	if err != nil {
		return nil, err
	}
	return recordCA(ctx, ledger, cert, now)
}

// template is the certificate of a successor, without time and path length.
func (s Successor) template(old *x509.Certificate, pub crypto.PublicKey) (t *x509.Certificate, spki []byte, err error) {
	if why := commonNameProblem(s.CommonName); why != "" {
		return nil, nil, &NameError{Name{CommonName, s.CommonName}, why}
	}
	if err := CheckKey(pub); err != nil {
		return nil, nil, err
	}
	if spki, err = x509.MarshalPKIXPublicKey(pub); err != nil {
		return nil, nil, fmt.Errorf("the new key: %w", err)
	}
	t = like(old)
	if t.SubjectKeyId, err = keyID(spki); err != nil {
		return nil, nil, err
	}
	t.RawSubject, err = renamed(old.RawSubject, s.CommonName)
	return t, spki, err
}

// renamed is a distinguished name with another common name.
func renamed(subject []byte, commonName string) ([]byte, error) {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(subject, &name); err != nil {
		return nil, fmt.Errorf("the subject of the CA before: %w", err)
	}
	commonNameID := asn1.ObjectIdentifier{2, 5, 4, 3}
	found := false
	for _, set := range name {
		for i := range set {
			if set[i].Type.Equal(commonNameID) && !found {
				set[i].Value, found = commonName, true
			}
		}
	}
	if !found {
		name = append(name, pkix.RelativeDistinguishedNameSET{{Type: commonNameID, Value: commonName}})
	}
	return asn1.Marshal(name)
}

// recordCA releases a CA certificate that takes another's place, once it is recorded.
func recordCA(ctx context.Context, l Ledger, c *x509.Certificate, at time.Time) (*x509.Certificate, error) {
	entry := EntryOf(KindCA, c, at)
	entry.Note = "rotation"
	if err := l.Record(ctx, entry); err != nil {
		return nil, fmt.Errorf("record the certificate: %w", err)
	}
	return c, nil
}
