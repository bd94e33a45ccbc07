package inspect

import (
	"crypto/x509"
	"time"
)

// The uses that Options.EKU asks for.
const (
	EKUAny        = "any"
	EKUServerAuth = "serverAuth"
	EKUClientAuth = "clientAuth"
)

// Options say what Verify goes by. Roots alone are trusted: without any, nothing
// is, and the system's own are never used. Intermediates never become roots.
type Options struct {
	Roots         []*x509.Certificate
	Intermediates []*x509.Certificate
	At            time.Time // the moment for which the question is asked; it must be set

	// What else must hold; "" or 0 asks for nothing. Any text may stand here:
	// what cannot match does not.
	Name         string // DNS name or IP address
	SPIFFEID     string
	TrustDomain  string // the name alone, or spiffe://name
	Email        string
	EKU          string        // EKUAny ("" is the same), EKUServerAuth or EKUClientAuth
	MinRemaining time.Duration // of the path's shortest validity

	// Revoked, if set, tells whether a certificate is known to be revoked, and for
	// which reason (RFC 5280, Section 5.3.1). A path with such a certificate is none.
	Revoked func(*x509.Certificate) (reason string, revoked bool)
}

// Asked repeats what was asked for beside trust.
type Asked struct {
	Name                string `json:"name,omitempty"`
	SPIFFEID            string `json:"spiffeId,omitempty"`
	TrustDomain         string `json:"trustDomain,omitempty"`
	Email               string `json:"email,omitempty"`
	EKU                 string `json:"eku"`
	MinRemainingSeconds int64  `json:"minRemainingSeconds,omitempty"`
}

// Result is the answer for one certificate.
type Result struct {
	Source      string    `json:"source"`
	Subject     string    `json:"subject"` // what a person calls it: SPIFFE ID, DNS name or common name
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"`
	At          time.Time `json:"at"`
	Asked       Asked     `json:"asked"`

	// Trusted is the answer: there is a path to a root, and all that was asked for
	// holds. Then no finding is an error.
	Trusted bool `json:"trusted"`
	// Paths lead to a root and hold; Tried are those that do not, with what is
	// wrong with each, the best first. Only one of them is filled.
	Paths []Path   `json:"paths"`
	Tried []Path   `json:"tried,omitempty"`
	Uses  []string `json:"uses"` // serverAuth and clientAuth, as far as some path allows them

	Validity
	// TrustedUntil is when the last of the paths ends.
	TrustedUntil *time.Time `json:"trustedUntil,omitempty"`

	Names
	SPIFFEID string `json:"spiffeId,omitempty"`

	Findings []Finding `json:"findings"` // the one that decides first
}

// Path is a chain of certificates, the target first and the one nearest to a root last.
type Path struct {
	Certificates []Member  `json:"certificates"`
	Findings     []Finding `json:"findings,omitempty"` // what is wrong with it
}

// Member is one certificate of a path.
type Member struct {
	Name        string    `json:"name"`    // what a person calls it
	Subject     string    `json:"subject"` // RFC 4514
	Fingerprint string    `json:"fingerprint"`
	NotAfter    time.Time `json:"notAfter"`
}

// Verify tells whether target is trusted by o.Roots at o.At for all that o asks
// for, and if not, why. It validates paths as RFC 5280, Section 6 says, without
// revocation. source is repeated in the result.
func Verify(source string, target *x509.Certificate, o Options) Result {
	e := examine(target, o.At)
	r := Result{
		Source:      source,
		Subject:     identityName(e),
		Serial:      serialHex(target.SerialNumber),
		Fingerprint: fingerprint(target.Raw),
		At:          o.At.UTC().Truncate(time.Second),
		Asked:       asked(o),
		Paths:       []Path{},
		Uses:        []string{},
		Validity:    validityOf(target, o.At),
		Names:       e.names,
		SPIFFEID:    e.names.SPIFFEID().String(),
		Findings:    []Finding{},
	}
	found, err := findPaths(target, o)
	chains, ended, revocations := unrevoked(found, o)
	switch {
	case err != nil:
		r.explain(target, o, err)
	case len(chains) > 0:
		r.accept(chains)
	default:
		for i, chain := range ended {
			r.Tried = append(r.Tried, pathOf(chain, revocations[i:i+1]))
		}
		r.Findings = append(r.Findings, revocations[:1]...)
	}
	r.Findings = append(r.Findings, identityFindings(e, o)...)
	if f, ok := checkRemaining(chains, o); !ok {
		r.Findings = append(r.Findings, f)
	}
	r.Trusted = err == nil && len(chains) > 0 && len(errorsOnly(r.Findings)) == 0
	return r
}

// accept takes down the paths that hold.
func (r *Result) accept(chains [][]*x509.Certificate) {
	for _, chain := range chains {
		r.Paths = append(r.Paths, pathOf(chain, nil))
	}
	until := trustedUntil(chains).UTC()
	r.TrustedUntil = &until
	for _, use := range []string{EKUServerAuth, EKUClientAuth} {
		for _, chain := range chains {
			if _, allowed := allows(chain, use); allowed {
				r.Uses = append(r.Uses, use)
				break
			}
		}
	}
}

func pathOf(chain []*x509.Certificate, findings []Finding) Path {
	p := Path{Findings: findings}
	for _, c := range chain {
		p.Certificates = append(p.Certificates, Member{
			Name: shortName(c), Subject: nameOr(c.RawSubject), Fingerprint: fingerprint(c.Raw), NotAfter: c.NotAfter.UTC(),
		})
	}
	return p
}

func asked(o Options) Asked {
	a := Asked{Name: o.Name, SPIFFEID: o.SPIFFEID, TrustDomain: o.TrustDomain, Email: o.Email, EKU: o.EKU}
	a.MinRemainingSeconds = int64(o.MinRemaining / time.Second)
	if a.EKU == "" {
		a.EKU = EKUAny
	}
	return a
}

// identityName is what a person calls who the certificate is for.
func identityName(e *examined) string {
	if id := e.names.SPIFFEID(); !id.IsZero() {
		return id.String()
	}
	if len(e.DNSNames) > 0 {
		return clip(e.DNSNames[0])
	}
	return shortName(e.Certificate)
}
