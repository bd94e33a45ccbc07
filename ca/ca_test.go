package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"iter"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// now is the time that all tests live in.
var now = time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// memory is a ledger without a disk, which fails on demand.
type memory struct {
	mu      sync.Mutex
	entries []Entry
	set     Revoked
	record  func(context.Context, Entry) error // before an entry is kept; nil for none
	revoked error
	listed  error
}

func (m *memory) Record(ctx context.Context, e Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.record != nil {
		if err := m.record(ctx, e); err != nil {
			return err
		}
	}
	m.entries = append(m.entries, e)
	m.set.Add(e)
	return nil
}

func (m *memory) Entries(context.Context) iter.Seq2[Entry, error] {
	m.mu.Lock()
	all := slices.Clone(m.entries)
	m.mu.Unlock()
	return func(yield func(Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
		if m.listed != nil {
			yield(Entry{}, m.listed)
		}
	}
}

func (m *memory) Revoked(context.Context) (Revoked, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Revoked{maps.Clone(m.set.certificates), maps.Clone(m.set.keys)}, m.revoked
}

// counter is a signer that counts what reaches it.
type counter struct {
	crypto.Signer
	signed atomic.Int32
}

func (c *counter) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	c.signed.Add(1)
	return c.Signer.Sign(r, digest, opts)
}

// keyOf makes one key of each type for the whole run: RSA keys take their time.
var keyOf = func() map[KeyType]func() (crypto.Signer, error) {
	keys := map[KeyType]func() (crypto.Signer, error){}
	for _, kt := range KeyTypes() {
		keys[kt] = sync.OnceValues(func() (crypto.Signer, error) { return NewKey(kt) })
	}
	return keys
}()

func key(t testing.TB, kt KeyType) crypto.Signer {
	t.Helper()
	k, err := keyOf[kt]()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// must takes what cannot fail in a test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func rootSpec() Spec {
	return Spec{CommonName: "Test Root CA", MaxPathLen: 1, NotBefore: now.Add(-Backdate), NotAfter: now.AddDate(10, 0, 0)}
}

func issuingSpec() Spec {
	return Spec{CommonName: "Test issuing CA", NotBefore: now.Add(-Backdate), NotAfter: now.AddDate(3, 0, 0)}
}

// newRoot makes a root with a new P-256 key.
func newRoot(t testing.TB, spec Spec) *Issuer {
	t.Helper()
	return newRootOf(t, spec, must(NewKey(ECP256)))
}

func newRootOf(t testing.TB, spec Spec, key crypto.Signer) *Issuer {
	t.Helper()
	ledger := &memory{}
	cert, err := NewRoot(t.Context(), spec, key, ledger, now)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{Certificate: cert, Signer: &counter{Signer: key}, Ledger: ledger, Now: clock}
}

// below makes a CA under another, sharing its ledger.
func below(t testing.TB, above *Issuer, spec Spec) *Issuer {
	t.Helper()
	return belowOf(t, above, spec, must(NewKey(ECP256)))
}

func belowOf(t testing.TB, above *Issuer, spec Spec, key crypto.Signer) *Issuer {
	t.Helper()
	chain, err := above.IssueCA(t.Context(), spec, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{Certificate: chain.Leaf(), Above: above.chain(), Signer: &counter{Signer: key}, Ledger: above.Ledger, Now: clock}
}

// newIssuer makes a root and an issuing CA under it, as ca init does.
func newIssuer(t testing.TB) *Issuer {
	t.Helper()
	return below(t, newRoot(t, rootSpec()), issuingSpec())
}

// signed counts what an issuer's key has signed so far.
func signed(i *Issuer) int { return int(i.Signer.(*counter).signed.Load()) }

func csrOf(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// csrPEM is the DER of a request in PEM.
func csrPEM(text string) []byte {
	block, _ := pem.Decode([]byte(text))
	return block.Bytes
}

func payment() Names {
	return Names{Subject: CommonNameOnly("payment"), DNS: []string{"payment.prod", "payment.prod.svc"},
		URI: []string{"spiffe://cluster.local/ns/prod/sa/payment"}}
}

// request asks for a workload's certificate for a key, for 30 days.
func request(t testing.TB, key crypto.Signer) Request {
	t.Helper()
	return Request{CSR: csrOf(t, key), Identity: must(NewIdentity(payment())), Profile: must(ProfileByName("")),
		Validity: Validity{NotAfter: now.Add(30 * day)}, Service: "payment", Namespace: "prod"}
}

// workload is a request with a new key.
func workload(t testing.TB) Request {
	t.Helper()
	return request(t, must(NewKey(ECP256)))
}

// verify walks the path with crypto/x509, at the tests' time.
func verify(chain Chain, root *x509.Certificate, uses ...x509.ExtKeyUsage) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if len(uses) == 0 {
		uses = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: uses})
	return err
}

// extensions lists a certificate's extensions by OID; the value tells whether it
// is critical.
func extensions(t testing.TB, c *x509.Certificate) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, e := range c.Extensions {
		if _, twice := out[e.Id.String()]; twice {
			t.Errorf("extension %s stands twice", e.Id)
		}
		out[e.Id.String()] = e.Critical
	}
	return out
}

func extension(c *x509.Certificate, oid asn1.ObjectIdentifier) []byte {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return e.Value
		}
	}
	return nil
}

// The extensions that are written, by OID.
const (
	extSKI         = "2.5.29.14"
	extKeyUsage    = "2.5.29.15"
	extSAN         = "2.5.29.17"
	extBasic       = "2.5.29.19"
	extConstraints = "2.5.29.30"
	extAKI         = "2.5.29.35"
	extEKU         = "2.5.29.37"
)

func trustDomain(s string) spiffeid.TrustDomain { return must(spiffeid.ParseTrustDomain(s)) }

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// refusal expects a *Refusal.
func refusal(t *testing.T, what string, err error) *Refusal {
	t.Helper()
	r, ok := IsRefusal(err)
	if !ok {
		t.Errorf("%s: %v; want a *Refusal", what, err)
		return &Refusal{}
	}
	readsWell(t, err)
	return r
}

var (
	goish    = regexp.MustCompile(`%!|0x[0-9a-f]{6}|\*?\b(ca|x509|pkix|big|net|netip|url|spiffeid|errors|ecdsa|rsa)\.[A-Z]|<nil>|&\{|map\[|runtime`)
	citation = regexp.MustCompile(`\((RFC \d+|X509-SVID|SPIFFE-ID|FIPS [\d-]+|NIST SP [\d-]+( Part \d)?), (Section [\d.]+( and [\d.]+)?|Appendix [A-Z][\d.]*)`)
)

// readsWell holds an error against the house's voice: one line, no capital at
// its start but a name's, nothing of Go's in it, not endless, nothing unprintable,
// and citations in their one form.
func readsWell(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	s := err.Error()
	switch {
	case s == "", strings.ContainsAny(s, "\n\r\t\x00\x1b"), len(s) > 1200, strings.HasSuffix(s, "."), strings.TrimSpace(s) != s:
		t.Errorf("this does not read well: %.300q", s)
	case goish.MatchString(s):
		t.Errorf("this speaks Go: %.300q", s)
	case strings.Contains(s, ", Section") && !citation.MatchString(s):
		t.Errorf("this cites in a form of its own: %.300q", s)
	}
}

func asValidity(t *testing.T, what string, err error) *ValidityError {
	t.Helper()
	v, ok := errors.AsType[*ValidityError](err)
	if !ok {
		t.Errorf("%s: %v; want a *ValidityError", what, err)
		return &ValidityError{}
	}
	readsWell(t, err)
	return v
}
