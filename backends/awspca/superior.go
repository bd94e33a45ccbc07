package awspca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// mostPathLen is the longest path length that there is a template for.
const mostPathLen = 3

// caTemplates are those that a CA of ours is signed by: the blank one says what its
// key may be used for as it is asked, the plain one adds digitalSignature and needs no
// right to pass anything through.
func caTemplates(pathLen int) (blank, plain string) {
	return fmt.Sprintf("BlankSubordinateCACertificate_PathLen%d_APICSRPassthrough", pathLen), fmt.Sprintf("SubordinateCACertificate_PathLen%d", pathLen)
}

// CertifyCA signs a CA of ours: by the blank template, or, where the right to use it
// is missing and the order asks for nothing that only it gives, by the plain one,
// which adds digitalSignature to the key usage.
func (a *Authority) CertifyCA(ctx context.Context, csr []byte, spec ca.Spec) (ca.Chain, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	request, err := ca.ParseCSR(csr)
	if err != nil {
		return nil, err
	}
	d, err := a.described(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.judgeCA(d, request, spec); err != nil {
		return nil, err
	}
	o := &order{csr: request, algorithm: d.algorithm}
	if o.notBefore, o.notAfter, err = a.settle(d, ca.Validity{NotBefore: spec.NotBefore, NotAfter: spec.NotAfter}); err != nil {
		return nil, err
	}
	blank, plain := caTemplates(spec.MaxPathLen)
	o.template, o.pass = blank, caPassthrough(spec)
	o.token = token(request.Raw, o.notAfter, o.template, [32]byte{})
	name, err := a.handIn(ctx, o, ticket{}, nil)
	if _, ok := errors.AsType[*forbiddenError](err); ok && spec.URI.IsZero() && spec.Constraints.Empty() {
		o.template, o.pass = plain, nil
		o.token = token(request.Raw, o.notAfter, o.template, [32]byte{})
		if name, err = a.handIn(ctx, o, ticket{}, nil); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return a.fetch(ctx, request, name)
}

// Adds tells that the plain template adds digitalSignature, where it is the only one
// that may be used.
func (a *Authority) Adds(spec ca.Spec) (x509.KeyUsage, string) {
	blank, plain := caTemplates(spec.MaxPathLen)
	return x509.KeyUsageDigitalSignature, "digitalSignature, which template " + plain + " puts there; the right to use " + blank + " is missing"
}

// judgeCA refuses a CA that could not stand below this one, before it is asked for.
func (a *Authority) judgeCA(d *description, request *x509.CertificateRequest, spec ca.Spec) error {
	clause := "RFC 5280, Section 4.2.1.9"
	what := fmt.Sprintf("the intermediate %q", spec.CommonName)
	switch name, err := ca.CommonNameOf(request); {
	case err != nil:
		return err
	case name != spec.CommonName:
		return &ca.Refusal{What: "the certificate request", Why: "its name is not that of the order, and AWS Private CA takes it from the request", Citation: "RFC 5280, Section 4.1.2.6"}
	case ca.KeyTypeOf(request.PublicKey) == ca.Ed25519:
		return &ca.Refusal{What: "a key of type Ed25519", Why: "AWS Private CA certifies EC and RSA keys alone; --key-type ec-p256 makes one"}
	case d.short():
		return &ca.Refusal{What: what, Why: "an authority of the mode SHORT_LIVED_CERTIFICATE signs for 7 days at the most, which is no life for a CA"}
	case d.status != types.CertificateAuthorityStatusActive:
		return &ca.Refusal{What: "signing with " + a.arn.text, Why: "its state is " + string(d.status) + "; " + stateRemedy(errors.New(string(d.status)), a.arn.text)}
	case spec.MaxPathLen < 0 || spec.MaxPathLen > mostPathLen:
		return &ca.Refusal{What: what, Why: "AWS Private CA has templates for path lengths 0 to 3", Citation: clause}
	}
	for depth, c := range append([]*x509.Certificate{d.certificate}, d.above...) {
		if (c.MaxPathLen > 0 || c.MaxPathLenZero) && c.MaxPathLen < spec.MaxPathLen+1+depth {
			return &ca.Refusal{What: what, Why: fmt.Sprintf("%s has path length %d", c.Subject.CommonName, c.MaxPathLen), Citation: clause}
		}
	}
	if !spec.URI.IsZero() {
		return d.issuer().Judge(ca.Name{Type: ca.URI, Value: spec.URI.ID().String()})
	}
	return nil
}

// caPassthrough is what the blank template is given: keyCertSign and cRLSign and
// nothing else, and the trust domain's ID. Name constraints come from the request.
func caPassthrough(spec ca.Spec) *types.ApiPassthrough {
	e := &types.Extensions{KeyUsage: apiUsage(x509.KeyUsageCertSign | x509.KeyUsageCRLSign)}
	if !spec.URI.IsZero() {
		e.SubjectAlternativeNames = []types.GeneralName{{UniformResourceIdentifier: aws.String(spec.URI.ID().String())}}
	}
	return &types.ApiPassthrough{Extensions: e}
}

// createdWithin is how long the service may take to make an authority's key.
const createdWithin = 5 * time.Minute

// RequestCA gives the request of an authority of the service's own, whose key is made
// and stays there; it is the one that this reference names, and it says itself what it
// is to be called.
func (a *Authority) RequestCA(ctx context.Context, _ ca.Spec, _ ca.KeyType) ([]byte, error) {
	c, err := a.connected(ctx)
	if err != nil {
		return nil, err
	}
	d, err := a.state(ctx, c)
	if err != nil {
		return nil, err
	}
	if d.kind == types.CertificateAuthorityTypeRoot {
		return nil, &ca.Refusal{What: "a certificate for " + a.arn.text, Why: "it is of the type ROOT, and stands below nobody: an authority of the type SUBORDINATE would"}
	}
	out, err := within(ctx, createdWithin, func(ctx context.Context) (*acmpca.GetCertificateAuthorityCsrOutput, error) {
		for delay := firstLook; ; delay = min(2*delay, longestLook) {
			out, err := ask(ctx, c.csrs, c.api.GetCertificateAuthorityCsr, &acmpca.GetCertificateAuthorityCsrInput{CertificateAuthorityArn: &a.arn.text})
			if kindOf(err) != notYet {
				return out, err
			}
			if err := guard.Sleep(ctx, delay); err != nil {
				return nil, err
			}
		}
	})
	if err != nil {
		return nil, a.told("GetCertificateAuthorityCsr", "", err)
	}
	return derOf(aws.ToString(out.Csr))
}

// InstallCA hands an authority of the service's its certificate and those above it,
// the root last. The same once more changes nothing.
func (a *Authority) InstallCA(ctx context.Context, chain ca.Chain) error {
	if len(chain) < 2 {
		return errors.New("install a CA's certificate: its chain has to lead to its root")
	}
	c, err := a.connected(ctx)
	if err != nil {
		return err
	}
	_, err = ask(ctx, c.csrs, c.api.ImportCertificateAuthorityCertificate, &acmpca.ImportCertificateAuthorityCertificateInput{CertificateAuthorityArn: &a.arn.text,
		Certificate: pemfile.EncodeCertificates(chain[0]), CertificateChain: pemfile.EncodeCertificates(slices.Clone(chain[1:])...)})
	if err != nil {
		return a.told("ImportCertificateAuthorityCertificate", "", err)
	}
	a.remember(nil)
	return nil
}
