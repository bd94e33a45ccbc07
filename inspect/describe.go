package inspect

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"time"
)

// Describe gives the facts of an object and judges it by the rules that need no
// other object. source is repeated in the report; now is what validity is seen from.
func Describe(source string, o Object, now time.Time) Report {
	return describe(source, o, now, newSigners(nil))
}

// describe does it; s bounds the work of the signature checks.
func describe(source string, o Object, now time.Time, s *signers) Report {
	r := Report{Source: source, Index: o.Index, Line: o.Line, Label: o.Label, Within: o.Within, Kind: o.Kind, Findings: []Finding{}}
	switch {
	case o.Damaged != nil:
		e := examine(o.Damaged, now)
		r.Certificate = describeCertificate(e, false)
		r.Findings = append(r.Findings, malformed(o.Err))
		if !o.Damaged.NotAfter.IsZero() {
			r.Findings = append(r.Findings, e.findings()...)
		}
	case o.DamagedRequest != nil:
		r.Request = describeRequest(o.DamagedRequest)
		r.Request.SignatureValid = false
		r.Findings = append(keyFindings(o.DamagedRequest.PublicKey), malformedBy(ruleRequestMalformed, o.Kind, o.Err))
	case o.DamagedCRL != nil:
		r.CRL = describeCRL(o.DamagedCRL, now)
		r.CRL.Entries = o.CRLEntries
		r.Findings = append(crlFindings(o.DamagedCRL, now), malformedBy(ruleCRLMalformed, o.Kind, o.Err))
	case o.DamagedOCSP != nil:
		r.OCSP = o.DamagedOCSP
		r.Findings = append(ocspFindings(o.DamagedOCSP, now), malformedBy(ruleOCSPMalformed, o.Kind, o.Err))
	case o.Err != nil:
		r.Error = o.Err.Error()
	case o.Certificate != nil:
		e := examine(o.Certificate, now)
		r.Findings = e.findings()
		r.Certificate = describeCertificate(e, s.selfSigned(o.Certificate))
	case o.Request != nil:
		r.Request = describeRequest(o.Request)
		r.Findings = requestFindings(o.Request, r.Request)
	case o.CRL != nil:
		r.CRL = describeCRL(o.CRL, now)
		r.CRL.Entries = max(o.CRLEntries, r.CRL.Entries)
		r.Findings = crlFindings(o.CRL, now)
	case o.OCSP != nil:
		r.OCSP = o.OCSP
		r.Findings = ocspFindings(o.OCSP, now)
	case o.Kind == KindKey:
		r.PrivateKey = &PrivateKeyFacts{Encrypted: o.Encrypted}
		if o.PublicKey != nil {
			f := describeKey(o.PublicKey, nil)
			r.PrivateKey.PublicKey = &f
			r.Findings = keyFindings(o.PublicKey)
		}
	case o.Kind == KindPublicKey:
		f := describeKey(o.PublicKey, o.DER)
		r.PublicKey = &f
		r.Findings = keyFindings(o.PublicKey)
	}
	return r
}

func describeCertificate(e *examined, selfSigned bool) *CertificateFacts {
	c := e.Certificate
	f := &CertificateFacts{
		Name:               shortName(c),
		Subject:            nameOr(c.RawSubject),
		Issuer:             nameOr(c.RawIssuer),
		Serial:             serialHex(c.SerialNumber),
		Validity:           validityOf(c, e.now),
		IsCA:               c.BasicConstraintsValid && c.IsCA,
		SelfSigned:         selfSigned,
		KeyUsage:           keyUsages(c.KeyUsage),
		ExtKeyUsage:        extKeyUsages(c),
		Names:              e.names,
		SPIFFEID:           e.names.SPIFFEID().String(),
		SVID:               e.isSVID(),
		PublicKey:          describeKey(c.PublicKey, c.RawSubjectPublicKeyInfo),
		SignatureAlgorithm: signatureName(c.SignatureAlgorithm, c.Raw),
		SubjectKeyID:       hex.EncodeToString(c.SubjectKeyId),
		AuthorityKeyID:     hex.EncodeToString(c.AuthorityKeyId),
		Fingerprint:        fingerprint(c.Raw),

		CRLDistributionPoints: c.CRLDistributionPoints,
		OCSPServers:           c.OCSPServer,
		IssuingURLs:           c.IssuingCertificateURL,
		Extensions:            extensionsOf(c.Extensions),
	}
	if f.IsCA && c.MaxPathLen >= 0 {
		f.MaxPathLen = &c.MaxPathLen
	}
	for _, p := range c.Policies {
		f.Policies = append(f.Policies, p.String())
	}
	for _, oid := range c.UnhandledCriticalExtensions {
		f.CriticalUnknown = append(f.CriticalUnknown, oid.String())
	}
	// What is no list of constraints stands among the extensions.
	f.Constraints, _ = constraintsOf(c.Extensions)
	return f
}

func validityOf(c *x509.Certificate, now time.Time) Validity {
	v := Validity{
		NotBefore:        c.NotBefore.UTC(),
		NotAfter:         c.NotAfter.UTC(),
		RemainingSeconds: seconds(now, c.NotAfter),
		State:            StateValid,
	}
	switch {
	case c.NotAfter.IsZero():
		v.State, v.RemainingSeconds = StateUnknown, 0
	case now.After(c.NotAfter):
		v.State = StateExpired
	case now.Before(c.NotBefore):
		v.State = StateNotYetValid
	}
	return v
}

func extensionsOf(extensions []pkix.Extension) []Extension {
	list := make([]Extension, len(extensions))
	for i, e := range extensions {
		oid := e.Id.String()
		list[i] = Extension{OID: oid, Critical: e.Critical, Name: extensionNames[oid]}
	}
	return list
}

func describeRequest(r *x509.CertificateRequest) *RequestFacts {
	f := &RequestFacts{
		Name:               r.Subject.CommonName,
		Subject:            nameOr(r.RawSubject),
		Names:              altNames(r.Extensions),
		PublicKey:          describeKey(r.PublicKey, r.RawSubjectPublicKeyInfo),
		SignatureAlgorithm: signatureName(r.SignatureAlgorithm, r.Raw),
		SignatureValid:     usableKey(r.PublicKey) && r.CheckSignature() == nil,
		Extensions:         extensionsOf(r.Extensions),
	}
	for _, names := range [][]string{f.URIs, f.DNSNames, {f.Subject}} {
		if f.Name == "" && len(names) > 0 {
			f.Name = names[0]
		}
	}
	f.Name = clip(f.Name)
	return f
}

func describeCRL(l *x509.RevocationList, now time.Time) *CRLFacts {
	f := &CRLFacts{
		Issuer:             nameOr(l.RawIssuer),
		ThisUpdate:         l.ThisUpdate.UTC(),
		Entries:            len(l.RevokedCertificateEntries),
		Revoked:            make([]Revoked, len(l.RevokedCertificateEntries)),
		AuthorityKeyID:     hex.EncodeToString(l.AuthorityKeyId),
		SignatureAlgorithm: signatureName(l.SignatureAlgorithm, l.Raw),
	}
	if l.Number != nil {
		f.Number = l.Number.String()
	}
	if !l.NextUpdate.IsZero() {
		next, left := l.NextUpdate.UTC(), seconds(now, l.NextUpdate)
		f.NextUpdate, f.RemainingSeconds = &next, &left
	}
	for i, e := range l.RevokedCertificateEntries {
		f.Revoked[i] = Revoked{Serial: serialHex(e.SerialNumber), At: e.RevocationTime.UTC(), Reason: reasonName(e.ReasonCode)}
	}
	return f
}
