package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// Issuer is a CA certificate with its key: an Authority of our own. Its fields do
// not change once it is in use; then it is safe for concurrent use.
type Issuer struct {
	Certificate *x509.Certificate
	// Name is what the authority is called; it stands in the URLs of profiles.
	Name string
	// Above are the CA certificates over this one, its own issuer first and the
	// root last; empty for a root.
	Above []*x509.Certificate
	// Behind are CA certificates that are served behind those, for whoever trusts no
	// root but another; each is left out where it would end before the leaf.
	Behind []*x509.Certificate
	Signer crypto.Signer
	Ledger Ledger
	// Trusted are the roots that Roots gives. Empty: the last of Above.
	Trusted []*x509.Certificate
	// URLs stand in everything that this CA signs, with its own name in them.
	URLs URLs
	// Now tells the time; it must be set.
	Now func() time.Time

	once  sync.Once
	proof *proof // nil where the private key is not at hand
}

var (
	_ Authority = (*Issuer)(nil)
	_ Revoker   = (*Issuer)(nil)
	_ Judge     = (*Issuer)(nil)
	_ Previewer = (*Issuer)(nil)
)

// Validate checks that this can be an issuer: a CA certificate that may sign
// certificates, the key that belongs to it, and an unbroken chain above it.
func (i *Issuer) Validate() error {
	c := i.Certificate
	switch {
	case !c.IsCA || !c.BasicConstraintsValid:
		return fmt.Errorf("%s is no CA certificate (RFC 5280, Section 4.2.1.9)", caName(c))
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%s may not sign certificates (RFC 5280, Section 4.2.1.3)", caName(c))
	}
	if !pemfile.SamePublicKey(c.PublicKey, i.Signer.Public()) {
		return fmt.Errorf("the key does not belong to the certificate of %s", caName(c))
	}
	for _, c := range i.chain() {
		if len(c.UnhandledCriticalExtensions) > 0 {
			return fmt.Errorf("%s has a critical extension that is not known here, %s, so what it may sign cannot be told (RFC 5280, Section 4.2)",
				caName(c), c.UnhandledCriticalExtensions[0])
		}
	}
	below := c
	for _, above := range i.Above {
		if err := below.CheckSignatureFrom(above); err != nil {
			return fmt.Errorf("%s is not signed by %s: %w", caName(below), caName(above), err)
		}
		below = above
	}
	return nil
}

// chain is this CA and all above it.
func (i *Issuer) chain() []*x509.Certificate {
	return append([]*x509.Certificate{i.Certificate}, i.Above...)
}

// Roots gives the certificates to be trusted.
func (i *Issuer) Roots(context.Context) ([]*x509.Certificate, error) {
	if len(i.Trusted) > 0 {
		return i.Trusted, nil
	}
	chain := i.chain()
	return chain[len(chain)-1:], nil
}

// Judge asks the constraints of this CA and of all above it about a name.
func (i *Issuer) Judge(n Name) error {
	for _, c := range i.chain() {
		if err := judge(c, n); err != nil {
			return err
		}
	}
	return nil
}

// Limit is the latest time that a certificate of this CA may end, and whose end
// that is: no certificate outlives a CA above it.
func (i *Issuer) Limit() (time.Time, *x509.Certificate) {
	shortest := i.Certificate
	for _, c := range i.Above {
		if c.NotAfter.Before(shortest.NotAfter) {
			shortest = c
		}
	}
	return shortest.NotAfter, shortest
}

// Issue certifies the key of a request: it checks, makes the template, judges
// what is about to be signed, signs, records, and only then releases. A token is
// recorded and nothing else: an answer takes no time that one could crash in, and
// so two requests are two certificates. Errors to branch on: *Refusal,
// *ValidityError.
func (i *Issuer) Issue(ctx context.Context, req Request) (Chain, error) {
	csr, err := ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	return i.issue(ctx, csr, req)
}

// IssueKey is Issue for a public key without a request that proves who holds it: for
// whoever asks in the same process, and has just made it. The certificate was verified
// with the issuer's key when it was signed.
func (i *Issuer) IssueKey(ctx context.Context, pub crypto.PublicKey, req Request) (Chain, error) {
	if err := CheckKey(pub); err != nil {
		return nil, err
	}
	spki, err := publicKeyInfo(pub)
	if err != nil {
		return nil, fmt.Errorf("the public key: %w", err)
	}
	return i.issue(ctx, &x509.CertificateRequest{PublicKey: pub, RawSubjectPublicKeyInfo: spki}, req)
}

func (i *Issuer) issue(ctx context.Context, csr *x509.CertificateRequest, req Request) (Chain, error) {
	template, err := i.draft(ctx, csr, req)
	if err != nil {
		return nil, err
	}
	leaf, err := i.sign(template, csr.PublicKey)
	if err != nil {
		return nil, err
	}
	entry := EntryOf(KindLeaf, leaf, i.Now())
	entry.Service, entry.Namespace = req.Service, req.Namespace
	if req.Token != [32]byte{} {
		entry.Token = hex.EncodeToString(req.Token[:])
	}
	if err := i.Ledger.Record(ctx, entry); err != nil {
		return nil, fmt.Errorf("record the certificate: %w", err)
	}
	return i.complete(leaf), nil
}

// sign makes the certificate of a leaf.
func (i *Issuer) sign(template *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	i.once.Do(func() { i.proof = newProof(i.Signer, i.Certificate) })
	if i.proof.of(i.Signer, i.Certificate) && plain(template, i.Certificate) {
		return signHere(template, pub, i.Signer, i.proof)
	}
	return sign(template, i.Certificate, pub, i.Signer)
}

// Preview gives the certificate that Issue would make, signed by a key that is
// thrown away: nothing reaches the CA's key, and nothing is recorded.
func (i *Issuer) Preview(ctx context.Context, req Request) (*x509.Certificate, error) {
	csr, err := ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	template, err := i.draft(ctx, csr, req)
	if err != nil {
		return nil, err
	}
	return pretend(template, i.Certificate, csr.PublicKey)
}

// Foresee shows what an authority elsewhere would make of a request, in its issuer's
// name and signed by a key that is thrown away. change, unless it is nil, makes of it
// what the authority makes otherwise.
func Foresee(req Request, issuer *x509.Certificate, notBefore, notAfter time.Time, change func(*x509.Certificate)) (*x509.Certificate, error) {
	csr, err := ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	template, err := leafTemplate(req, csr, notBefore, notAfter)
	if err != nil {
		return nil, err
	}
	template.AuthorityKeyId = issuer.SubjectKeyId
	if change != nil {
		change(template)
	}
	return pretend(template, issuer, csr.PublicKey)
}

// pretend signs a template in a CA's name by a key that is thrown away.
func pretend(template, issuer *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	stranger, err := NewKey(ECP256)
	if err != nil {
		return nil, err
	}
	// Without a public key the parent is not held against the key that signs.
	parent := *issuer
	parent.PublicKey = nil
	return sign(template, &parent, pub, stranger)
}

// draft checks a request and makes the template of its certificate.
func (i *Issuer) draft(ctx context.Context, csr *x509.CertificateRequest, req Request) (*x509.Certificate, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(req.Profile.extended) == 0 {
		return nil, errors.New("the request has no profile")
	}
	if err := i.checkRevoked(ctx, csr); err != nil {
		return nil, err
	}
	if err := judgeIdentity(i.chain(), req.Identity); err != nil {
		return nil, err
	}
	notBefore, notAfter, err := i.settle(req.Validity)
	if err != nil {
		return nil, err
	}
	if err := req.Profile.Check(req.Identity, KeyTypeOf(csr.PublicKey), notAfter.Sub(i.Now())); err != nil {
		return nil, err
	}
	template, err := leafTemplate(req, csr, notBefore, notAfter)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(template.RawSubject, i.Certificate.RawSubject) {
		return nil, &Refusal{"the subject " + req.Identity.subject.String(), "it is the issuer's own name", "RFC 5280, Section 4.1.2.6"}
	}
	template.AuthorityKeyId = i.Certificate.SubjectKeyId
	urls := i.URLs
	if own := req.Profile.own; own != nil && own.URLs != nil {
		urls = own.URLs.For(i.Name)
	}
	urls.apply(template)
	return template, nil
}

// complete is the chain of a leaf: all CAs above it but the self-signed root,
// which can only be the last. A CA below it may have its issuer's own name.
func (i *Issuer) complete(leaf *x509.Certificate) Chain {
	chain := append(Chain{leaf}, i.chain()...)
	if last := chain[len(chain)-1]; bytes.Equal(last.RawSubject, last.RawIssuer) {
		chain = chain[:len(chain)-1]
	}
	return append(chain, Outliving(i.Behind, leaf)...)
}

// Outliving are those of some CA certificates that do not end before a leaf.
func Outliving(cas []*x509.Certificate, leaf *x509.Certificate) (out []*x509.Certificate) {
	for _, c := range cas {
		if !c.NotAfter.Before(leaf.NotAfter) {
			out = append(out, c)
		}
	}
	return out
}

// checkRevoked refuses to sign with a CA that has been revoked, and a key that
// was called compromised.
func (i *Issuer) checkRevoked(ctx context.Context, csr *x509.CertificateRequest) error {
	revoked, err := i.Ledger.Revoked(ctx)
	if err != nil {
		return fmt.Errorf("read the revocations: %w", err)
	}
	for _, c := range i.chain() {
		if e, ok := revoked.Certificate(c); ok {
			return &Refusal{"signing with " + caName(i.Certificate), fmt.Sprintf("%s was revoked on %s (%s)",
				caName(c), e.At.UTC().Format(time.DateOnly), e.Reason), "RFC 5280, Section 6.1.3"}
		}
	}
	if len(revoked.keys) == 0 {
		return nil
	}
	if e, ok := revoked.Key(KeyFingerprint(csr.RawSubjectPublicKeyInfo)); ok {
		return &Refusal{"this key", "it was revoked as compromised on " + e.At.UTC().Format(time.DateOnly), "RFC 5280, Section 5.3.1"}
	}
	return nil
}

// settle decides the validity: never before its issuer's nor beyond it.
func (i *Issuer) settle(v Validity) (notBefore, notAfter time.Time, err error) {
	now := i.Now()
	notBefore, notAfter = v.NotBefore, v.NotAfter
	if notBefore.IsZero() {
		// A short life is dated back less: what lies in the past counts towards the
		// moment at which renewal is due.
		notBefore = now.Add(-min(Backdate, max(0, notAfter.Sub(now)/10)))
	}
	for _, c := range i.chain() {
		if now.Before(c.NotBefore) {
			return notBefore, notAfter, &ValidityError{Problem: fmt.Sprintf("%s is valid only from %s on; is the clock right?",
				caName(c), c.NotBefore.UTC().Format(time.RFC3339))}
		}
		if notBefore.Before(c.NotBefore) {
			notBefore = c.NotBefore
		}
	}
	limit, shortest := i.Limit()
	if !now.Before(limit) {
		return notBefore, notAfter, &Refusal{"signing with " + caName(i.Certificate),
			fmt.Sprintf("%s expired on %s", caName(shortest), limit.UTC().Format(time.DateOnly)), "RFC 5280, Section 4.1.2.5"}
	}
	if notAfter.After(limit) {
		if !v.UpTo {
			return notBefore, notAfter, &ValidityError{NotAfter: notAfter, Limit: limit, Issuer: caName(shortest)}
		}
		notAfter = limit
	}
	if !notAfter.After(now) {
		return notBefore, notAfter, &ValidityError{Problem: "a certificate must end in the future"}
	}
	if notAfter.Unix() <= notBefore.Unix() { // certificates know no fractions of a second
		return notBefore, notAfter, &ValidityError{Problem: fmt.Sprintf("a certificate from %s until %s has no time to be valid in",
			notBefore.UTC().Format(time.RFC3339), notAfter.UTC().Format(time.RFC3339))}
	}
	return notBefore, notAfter, nil
}

// IssueCA certifies another CA's key under this one and records it. It refuses
// (*Refusal) what this CA's path length and name constraints do not allow, and
// what would outlive it (*ValidityError).
func (i *Issuer) IssueCA(ctx context.Context, spec Spec, pub crypto.PublicKey) (Chain, error) {
	template, err := i.draftCA(ctx, spec, pub)
	if err != nil {
		return nil, err
	}
	cert, err := sign(template, i.Certificate, pub, i.Signer)
	if err != nil {
		return nil, err
	}
	if err := i.Ledger.Record(ctx, EntryOf(KindCA, cert, i.Now())); err != nil {
		return nil, fmt.Errorf("record the intermediate: %w", err)
	}
	return i.complete(cert), nil
}

// draftCA checks what CA is wanted and makes the template of its certificate.
func (i *Issuer) draftCA(ctx context.Context, spec Spec, pub crypto.PublicKey) (*x509.Certificate, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := CheckKey(pub); err != nil {
		return nil, err
	}
	if err := i.checkBelow(spec); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("intermediate: %w", err)
	}
	if err := i.checkRevoked(ctx, &x509.CertificateRequest{RawSubjectPublicKeyInfo: spki}); err != nil {
		return nil, err
	}
	spec.NotBefore, spec.NotAfter, err = i.settle(Validity{NotBefore: spec.NotBefore, NotAfter: spec.NotAfter})
	if err != nil {
		return nil, err
	}
	template, err := spec.caTemplate(spki)
	if err != nil {
		return nil, err
	}
	template.AuthorityKeyId = i.Certificate.SubjectKeyId
	i.URLs.apply(template)
	return template, nil
}

// checkBelow refuses a CA that could not stand below this one.
func (i *Issuer) checkBelow(spec Spec) error {
	for depth, c := range i.chain() {
		limited := c.MaxPathLen > 0 || c.MaxPathLenZero
		below := 1 + depth // CAs below c, the new one with them
		if limited && (c.MaxPathLen < below || spec.MaxPathLen < 0 || spec.MaxPathLen > c.MaxPathLen-below) {
			return &Refusal{"the intermediate " + quoteShort(spec.CommonName),
				fmt.Sprintf("%s has path length %d", caName(c), c.MaxPathLen), "RFC 5280, Section 4.2.1.9"}
		}
	}
	if !spec.URI.IsZero() {
		if err := i.Judge(Name{URI, spec.URI.ID().String()}); err != nil {
			return err
		}
	}
	for _, c := range i.chain() {
		if err := spec.Constraints.within(c); err != nil {
			return err
		}
	}
	return nil
}

// Revoke records the end of a certificate that this ledger knows. For one that is
// revoked already, a compromise that has come to light since is recorded too.
func (i *Issuer) Revoke(ctx context.Context, serial *big.Int, reason Reason) error {
	if !reason.Known() {
		return fmt.Errorf("revoke: %s is none of the standard's (RFC 5280, Section 5.3.1)", reason)
	}
	want, issuer := FormatSerial(serial), hex.EncodeToString(i.Certificate.SubjectKeyId)
	revoked, err := i.Ledger.Revoked(ctx)
	if err != nil {
		return fmt.Errorf("read the revocations: %w", err)
	}
	for e, err := range Find(ctx, i.Ledger, want) {
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		if e.Serial != want || e.IssuerKey != issuer || e.Kind != KindLeaf && e.Kind != KindCA {
			continue
		}
		if before, twice := revoked.Of(e); twice && !graver(reason.String(), before.Reason) {
			return ErrRevoked
		}
		end := Entry{Kind: KindRevocation, At: i.Now().UTC().Truncate(time.Second), Serial: e.Serial, Issuer: e.Issuer,
			IssuerKey: e.IssuerKey, Key: e.Key, Service: e.Service, Namespace: e.Namespace, Reason: reason.String()}
		if c, err := x509.ParseCertificate(e.Certificate); err == nil {
			end.NotAfter = c.NotAfter.UTC() // without it a CRL lists the certificate for ever
		}
		return i.Ledger.Record(ctx, end)
	}
	return ErrUnknownSerial
}
