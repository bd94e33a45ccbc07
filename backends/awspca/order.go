package awspca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// order is one certificate as it is asked for.
type order struct {
	csr       *x509.CertificateRequest
	template  string
	algorithm types.SigningAlgorithm
	notBefore time.Time
	notAfter  time.Time
	pass      *types.ApiPassthrough
	token     string
}

const (
	// orderWithin is how long an order waits for its turn, and then for its certificate.
	orderWithin = 5 * time.Minute
	// tokenLife is how long the service knows an idempotency token again, with a margin.
	tokenLife = 4*time.Minute + 30*time.Second
	// markedFor is how long a mark stays true while an order waits for its turn.
	markedFor = time.Minute
)

// ticket is what Resume carries: how far an order has come.
type ticket struct {
	// Asked is when the request was first made that may have been carried out.
	Asked int64 `json:"asked,omitempty"`
	// ARN names the certificate, once the service has said so.
	ARN string `json:"arn,omitempty"`
}

func (t ticket) encode() []byte {
	data, _ := json.Marshal(t) // a number and a text: it does not fail
	return data
}

// errTicket is a Resume that nobody gave.
var errTicket = errors.New("what was kept of this order is none of AWS Private CA's")

// ticketOf reads what was kept of an order of this authority.
func (a *Authority) ticketOf(resume []byte) (t ticket, err error) {
	if len(resume) == 0 {
		return t, nil
	}
	dec := json.NewDecoder(bytes.NewReader(resume))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil || dec.More() || t == (ticket{}) {
		return t, errTicket
	}
	id, ok := strings.CutPrefix(t.ARN, a.arn.text+"/certificate/")
	if t.ARN != "" && (!ok || !word(id)) {
		return t, errTicket
	}
	return t, nil
}

// orderFor turns a request into an order, and refuses what the authority would not
// do, or would do otherwise, before it is asked.
func (a *Authority) orderFor(d *description, req ca.Request) (*order, error) {
	csr, err := a.readRequest(d, req)
	if err != nil {
		return nil, err
	}
	o := &order{csr: csr, algorithm: d.algorithm}
	if o.notBefore, o.notAfter, err = a.settle(d, req.Validity); err != nil {
		return nil, err
	}
	sameSubject, err := statesSubject(csr, req.Identity)
	if err != nil {
		return nil, err
	}
	agrees := sameSubject && statesNames(csr, req.Identity)
	kt := ca.KeyTypeOf(csr.PublicKey)
	t := choose(a.settings.Template, req.Identity, req.Profile, kt, agrees)
	o.template = t.name
	switch {
	case !t.api && !agrees:
		return nil, &ca.Refusal{What: "the certificate request", Why: "its names are not those of the order, and template " + t.name + " takes them from the request"}
	case t.api:
		if o.pass, err = passthroughOf(t, req, kt, sameSubject); err != nil {
			return nil, err
		}
	}
	if t.csr {
		if err := statesNoMore(csr); err != nil {
			return nil, err
		}
	}
	o.token = token(csr.Raw, o.notAfter, t.name, req.Token)
	return o, nil
}

// readRequest takes a request and looks whether this authority could certify it.
func (a *Authority) readRequest(d *description, req ca.Request) (*x509.CertificateRequest, error) {
	csr, err := ca.ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	if ca.KeyTypeOf(csr.PublicKey) == ca.Ed25519 {
		return nil, &ca.Refusal{What: "a key of type Ed25519", Why: "AWS Private CA certifies EC and RSA keys alone; --key-type ec-p256 makes one"}
	}
	if len(req.Profile.ExtKeyUsage()) == 0 {
		return nil, errors.New("the request has no profile")
	}
	if own := req.Profile.Own(); own != nil && own.URLs != nil {
		return nil, &ca.Refusal{What: "profile " + req.Profile.Name(), Why: "it has URLs of its own, and AWS Private CA puts those of its own configuration into every certificate"}
	}
	if d.status != types.CertificateAuthorityStatusActive {
		return nil, &ca.Refusal{What: "signing with " + a.arn.text, Why: "its state is " + string(d.status) + "; " + stateRemedy(errors.New(string(d.status)), a.arn.text)}
	}
	for _, n := range req.Identity.Names() {
		if err := d.issuer().Judge(n); err != nil {
			return nil, err
		}
	}
	if len(req.Identity.Names()) == 0 && len(req.Identity.Subject()) == 0 {
		return nil, &ca.Refusal{What: "a certificate without a name", Why: "AWS Private CA certifies a subject or a subject alternative name"}
	}
	return csr, nil
}

// settle gives the time to ask for: always as points in time, the end not beyond what
// the authority gives. The beginning is dated back less where life is short, for what
// lies in the past counts towards the moment at which renewal is due.
func (a *Authority) settle(d *description, v ca.Validity) (notBefore, notAfter time.Time, err error) {
	now := a.now()
	limit, whose := d.limit(now)
	notBefore, notAfter = v.NotBefore, v.NotAfter.Truncate(time.Second)
	switch {
	case !now.Before(limit):
		return notBefore, notAfter, &ca.Refusal{What: "signing with " + a.arn.text, Why: whose + " expired on " + limit.UTC().Format(time.DateOnly), Citation: "RFC 5280, Section 4.1.2.5"}
	case notAfter.After(limit) && !v.UpTo:
		return notBefore, notAfter, beyond(notAfter, limit, whose)
	case notAfter.After(limit) && whose == "":
		notAfter = limit.Add(-skew)
	case notAfter.After(limit):
		notAfter = limit
	}
	if !notAfter.After(now) {
		return notBefore, notAfter, &ca.ValidityError{Problem: "a certificate must end in the future"}
	}
	if notBefore.IsZero() {
		notBefore = now.Add(-min(ca.Backdate, notAfter.Sub(now)/10))
	}
	if begin := d.certificate.NotBefore; notBefore.Before(begin) {
		notBefore = begin
	}
	return notBefore.Truncate(time.Second), notAfter, nil
}

// beyond is the error for a life that is longer than can be.
func beyond(notAfter, limit time.Time, whose string) error {
	e := &ca.ValidityError{NotAfter: notAfter, Limit: limit, Issuer: whose}
	if whose == "" {
		e.Problem = "a certificate until " + notAfter.UTC().Format(time.RFC3339) + " is none for an authority of the mode SHORT_LIVED_CERTIFICATE: 7 days are the most, until " +
			limit.UTC().Format(time.RFC3339)
	}
	return e
}

// token makes the idempotency token of an order: what is asked for in the same words
// within five minutes is one certificate. Without a token of its own, a request is
// another one each time.
func token(csr []byte, notAfter time.Time, template string, own [32]byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s|%d|%s", csr, notAfter.Unix(), template)
	if own == ([32]byte{}) {
		_, _ = rand.Read(own[:])
	}
	h.Write(own[:])
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// statesSubject tells whether a request states the order's subject. One that states
// another where the order has none cannot be answered: nothing takes a subject away.
func statesSubject(csr *x509.CertificateRequest, id ca.Identity) (bool, error) {
	var stated, none = csr.Subject.ToRDNSequence().String(), len(id.Subject()) == 0
	if raw, err := asn1.Marshal(id.Subject()); err == nil && bytes.Equal(raw, csr.RawSubject) {
		return true, nil
	}
	if none && len(csr.RawSubject) > 2 {
		return false, &ca.Refusal{What: "the certificate request", Why: "it states the subject " + stated + ", and the order has none: AWS Private CA would keep it"}
	}
	return stated == id.Subject().String(), nil
}

// statesNames tells whether a request states the names of the order and no others.
func statesNames(csr *x509.CertificateRequest, id ca.Identity) bool {
	same := func(a, b []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	texts := func(n int, at func(int) string) (out []string) {
		for i := range n {
			out = append(out, at(i))
		}
		return out
	}
	uris, ips := id.URIs(), id.IPs()
	stated := len(csr.DNSNames) + len(csr.EmailAddresses) + len(csr.URIs) + len(csr.IPAddresses)
	return same(csr.DNSNames, id.DNS()) && same(csr.EmailAddresses, id.Emails()) &&
		same(texts(len(csr.URIs), func(i int) string { return csr.URIs[i].String() }), texts(len(uris), func(i int) string { return uris[i].String() })) &&
		same(texts(len(csr.IPAddresses), func(i int) string { return csr.IPAddresses[i].String() }), texts(len(ips), func(i int) string { return ips[i].String() })) &&
		stated == issue.CountNames(csr.Extensions)
}

var (
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
)

// statesNoMore refuses a request whose extensions would be passed through, and are
// none of those that the order sets or the template does.
func statesNoMore(csr *x509.CertificateRequest) error {
	set := []asn1.ObjectIdentifier{oidSubjectAltName, oidKeyUsage, oidExtKeyUsage, oidBasicConstraints}
	for _, e := range csr.Extensions {
		if !slices.ContainsFunc(set, e.Id.Equal) {
			return &ca.Refusal{What: "the certificate request", Why: "it asks for the extension " + e.Id.String() + ", which AWS Private CA would pass through and nobody ordered"}
		}
	}
	return nil
}

// requestPEM is a request as the service takes it.
func requestPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemfile.TypeRequest, Bytes: der})
}

// derOf reads a request as the service gives it.
func derOf(text string) ([]byte, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != pemfile.TypeRequest {
		return nil, errors.New("what AWS Private CA gives for a certificate request is none")
	}
	return block.Bytes, nil
}

func absolute(t time.Time) *types.Validity {
	return &types.Validity{Type: types.ValidityPeriodTypeAbsolute, Value: aws.Int64(t.Unix())}
}

// Issue has the key of a request certified. A throttled request waits for its turn,
// one that is under way is waited for, and what was asked for before is gone on with:
// nothing is asked for twice. What takes longer than it has time for is ca.ErrAway.
func (a *Authority) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	t, err := a.ticketOf(req.Resume)
	if err != nil {
		return nil, err
	}
	d, err := a.described(ctx)
	if err != nil {
		return nil, err
	}
	if t.ARN == "" {
		o, err := a.orderFor(d, req)
		if err != nil {
			return nil, err
		}
		if t.ARN, err = a.handIn(ctx, o, t, req.Pending); err != nil {
			return nil, err
		}
		return a.fetch(ctx, o.csr, t.ARN)
	}
	csr, err := ca.ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	return a.fetch(ctx, csr, t.ARN)
}
