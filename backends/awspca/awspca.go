// Package awspca asks AWS Private CA for certificates: an authority there signs, and
// signs each order once, whatever is throttled, slow or interrupted.
package awspca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// Authority is a certificate authority in AWS Private CA. What it learns of it, the
// way in and the pace of its requests are shared by all who ask it. It is safe for
// concurrent use and must not be copied.
type Authority struct {
	arn      arn
	settings backends.AWSPCA
	now      func() time.Time
	// transport carries the requests; nil is the network.
	transport http.RoundTripper

	mu     sync.Mutex
	client *client
	is     *description // as it was found last
	took   time.Duration
	looks  looks
	asking chan struct{} // who describes it now
}

var (
	_ ca.Authority   = (*Authority)(nil)
	_ ca.Revoker     = (*Authority)(nil)
	_ ca.Superior    = (*Authority)(nil)
	_ ca.Adder       = (*Authority)(nil)
	_ ca.Subordinate = (*Authority)(nil)
	_ ca.Explainer   = (*Authority)(nil)
	_ ca.Judge       = (*Authority)(nil)
)

// Open gives the authority of an ARN. It does nothing until it is asked. What is no
// ARN is a *backends.RefError.
func Open(text string, o backends.Options) (*Authority, error) {
	name, err := parseARN(text)
	if err != nil {
		return nil, err
	}
	a := &Authority{arn: name, now: o.Now, asking: make(chan struct{}, 1), settings: backends.AWSPCA{Rate: usualIssue}, looks: looks{firstLook, soonestLook}}
	if s, ok := o.Settings.(*backends.AWSPCA); ok && s != nil {
		a.settings = *s
		if s.Rate == 0 {
			a.settings.Rate = usualIssue
		}
	}
	if a.settings.Region == "" {
		a.settings.Region = name.region
	}
	if t := a.settings.Template; t != "" && !validTemplate(t) {
		return nil, &backends.RefError{Ref: scheme + text, Problem: fmt.Sprintf("has template %q in its settings, which is none for leaves that is known here: %s would be", t, blankLeaf)}
	}
	return a, nil
}

// connected gives the client, made once.
func (a *Authority) connected(ctx context.Context) (*client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client != nil {
		return a.client, nil
	}
	c, err := connect(ctx, a.settings.Region, max(a.settings.Rate, 0), a.transport)
	if err == nil {
		a.client = c
	}
	return c, err
}

// description is what an authority is.
type description struct {
	status    types.CertificateAuthorityStatus
	kind      types.CertificateAuthorityType
	mode      types.CertificateAuthorityUsageMode
	algorithm types.SigningAlgorithm
	key       types.KeyAlgorithm
	revokes   bool // it publishes a CRL or answers by OCSP
	// certificate is its own, above those over it, the root last.
	certificate *x509.Certificate
	above       []*x509.Certificate
	at          time.Time
}

// issuer is the authority without its key: to ask the constraints of its chain.
func (d *description) issuer() *ca.Issuer {
	return &ca.Issuer{Certificate: d.certificate, Above: d.above}
}

// root is the certificate that is to be trusted.
func (d *description) root() *x509.Certificate {
	if len(d.above) > 0 {
		return d.above[len(d.above)-1]
	}
	return d.certificate
}

// limit is the latest end of what it signs, and whose end that is.
func (d *description) limit(now time.Time) (time.Time, string) {
	limit, shortest := d.issuer().Limit()
	if d.short() && now.Add(shortLived).Before(limit) {
		return now.Add(shortLived).Truncate(time.Second), ""
	}
	return limit, shortest.Subject.CommonName
}

// short tells whether it is of the mode for short-lived certificates.
func (d *description) short() bool {
	return d.mode == types.CertificateAuthorityUsageModeShortLivedCertificate
}

const (
	// shortLived is the longest life that the mode for short-lived certificates allows.
	shortLived = 7 * 24 * time.Hour
	// skew is left where the limit moves with a clock that is not ours.
	skew = time.Minute
	// fresh is how long what was learnt of an authority is believed.
	fresh = time.Hour
	// describeWithin is how long that may take.
	describeWithin = 2 * time.Minute
)

// described gives what the authority is, asked once for all who want to know. What
// was learnt before does, where it cannot be asked now.
func (a *Authority) described(ctx context.Context) (*description, error) {
	known := a.known()
	if known != nil && a.now().Sub(known.at).Abs() < fresh {
		return known, nil
	}
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if known = a.known(); known != nil && a.now().Sub(known.at).Abs() < fresh {
		return known, nil
	}
	d, err := within(ctx, describeWithin, a.describe)
	if errors.Is(err, ca.ErrAway) && known != nil && ctx.Err() == nil {
		later := *known
		later.at = later.at.Add(fresh / 4)
		a.remember(&later)
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	a.remember(d)
	return d, nil
}

func (a *Authority) known() *description {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.is
}

func (a *Authority) remember(d *description) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.is = d
}

// describe asks what the authority is, and for its certificate where it has one.
func (a *Authority) describe(ctx context.Context) (*description, error) {
	c, err := a.connected(ctx)
	if err != nil {
		return nil, err
	}
	d, err := a.state(ctx, c)
	if err != nil {
		return nil, err
	}
	if s := d.status; s != types.CertificateAuthorityStatusActive && s != types.CertificateAuthorityStatusDisabled && s != types.CertificateAuthorityStatusExpired {
		return nil, &ca.Refusal{What: "signing with " + a.arn.text, Why: "its state is " + string(s) + "; " + stateRemedy(errors.New(string(s)), a.arn.text)}
	}
	out, err := ask(ctx, c.others, c.api.GetCertificateAuthorityCertificate, &acmpca.GetCertificateAuthorityCertificateInput{CertificateAuthorityArn: &a.arn.text})
	if err != nil {
		return nil, a.told("GetCertificateAuthorityCertificate", "", err)
	}
	chain, err := chainOf(out.Certificate, out.CertificateChain)
	if err != nil {
		return nil, fmt.Errorf("the certificate of %s: %w", a.arn.text, err)
	}
	d.certificate, d.above = chain[0], chain[1:]
	return d, nil
}

// state asks for everything but the certificate.
func (a *Authority) state(ctx context.Context, c *client) (*description, error) {
	out, err := ask(ctx, c.others, c.api.DescribeCertificateAuthority, &acmpca.DescribeCertificateAuthorityInput{CertificateAuthorityArn: &a.arn.text})
	if err != nil {
		return nil, a.told("DescribeCertificateAuthority", "", err)
	}
	is := out.CertificateAuthority
	if is == nil || is.CertificateAuthorityConfiguration == nil {
		return nil, fmt.Errorf("DescribeCertificateAuthority at AWS Private CA: the answer does not describe %s", a.arn.text)
	}
	d := &description{status: is.Status, kind: is.Type, mode: is.UsageMode, at: a.now(),
		algorithm: is.CertificateAuthorityConfiguration.SigningAlgorithm, key: is.CertificateAuthorityConfiguration.KeyAlgorithm}
	if r := is.RevocationConfiguration; r != nil {
		d.revokes = r.CrlConfiguration != nil && aws.ToBool(r.CrlConfiguration.Enabled) || r.OcspConfiguration != nil && aws.ToBool(r.OcspConfiguration.Enabled)
	}
	return d, nil
}

// chainOf reads a certificate and those above it.
func chainOf(certificate, above *string) ([]*x509.Certificate, error) {
	chain, err := pemfile.Certificates([]byte(aws.ToString(certificate)))
	if err != nil {
		return nil, err
	}
	if len(chain) != 1 {
		return nil, fmt.Errorf("%d certificates came where one was asked for", len(chain))
	}
	if aws.ToString(above) == "" {
		return chain, nil
	}
	rest, err := pemfile.Certificates([]byte(aws.ToString(above)))
	return slices.Concat(chain, rest), err
}

// Roots gives the root over the authority, or itself where it is one.
func (a *Authority) Roots(ctx context.Context) ([]*x509.Certificate, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	d, err := a.described(ctx)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{d.root()}, nil
}

// Judge asks the constraints of the authority's chain about a name, once they are
// known; until then it has nothing against it.
func (a *Authority) Judge(n ca.Name) error {
	if d := a.known(); d != nil {
		return d.issuer().Judge(n)
	}
	return nil
}

// revocations are the reasons as the service calls them.
var revocations = map[ca.Reason]types.RevocationReason{
	ca.Unspecified: types.RevocationReasonUnspecified, ca.KeyCompromise: types.RevocationReasonKeyCompromise,
	ca.CACompromise: types.RevocationReasonCertificateAuthorityCompromise, ca.AffiliationChanged: types.RevocationReasonAffiliationChanged,
	ca.Superseded: types.RevocationReasonSuperseded, ca.CessationOfOperation: types.RevocationReasonCessationOfOperation,
	ca.PrivilegeWithdrawn: types.RevocationReasonPrivilegeWithdrawn, ca.AACompromise: types.RevocationReasonAACompromise,
}

// Revoke revokes a certificate of this authority. One of the mode for short-lived
// certificates revokes nothing, which is a *ca.Refusal.
func (a *Authority) Revoke(ctx context.Context, serial *big.Int, reason ca.Reason) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	why, ok := revocations[reason]
	if !ok {
		return &ca.Refusal{What: "the reason " + reason.String(), Why: "AWS Private CA has none such", Citation: "RFC 5280, Section 5.3.1"}
	}
	d, err := a.described(ctx)
	if err != nil {
		return err
	}
	if d.short() {
		return &ca.Refusal{What: "revoking", Why: "an authority of the mode SHORT_LIVED_CERTIFICATE revokes nothing: its certificates end within 7 days"}
	}
	c, err := a.connected(ctx)
	if err != nil {
		return err
	}
	_, err = ask(ctx, c.others, c.api.RevokeCertificate, &acmpca.RevokeCertificateInput{CertificateAuthorityArn: &a.arn.text,
		CertificateSerial: aws.String(ca.FormatSerial(serial)), RevocationReason: why})
	switch {
	case err == nil:
		return nil
	case kindOf(err) == already:
		return ca.ErrRevoked
	case kindOf(err) == missing:
		return ca.ErrUnknownSerial
	}
	return a.told("RevokeCertificate", "", err)
}
