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
	// Bundles are roots by trust domain, bare names. Where there are any, who calls
	// itself of a trust domain is trusted by the bundle of that one alone, must be an
	// X509-SVID, and Roots are for all others (X509-SVID, Section 5.1).
	Bundles map[string][]*x509.Certificate
	At      time.Time // the moment for which the question is asked; it must be set

	// What else must hold; "" or 0 asks for nothing. Any text may stand here:
	// what cannot match does not.
	Name         string // DNS name or IP address
	SPIFFEID     string
	TrustDomain  string // the name alone, or spiffe://name
	Email        string
	EKU          string        // EKUAny ("" is the same), EKUServerAuth or EKUClientAuth
	MinRemaining time.Duration // of the path's shortest validity
	LimitDepth   bool          // whether MaxDepth counts
	MaxDepth     int           // CAs between the target and the root, self-issued ones left out
	Policies     PolicyOptions
	Explain      bool // the paths tell every check
	Strict       bool // what a conforming issuer would not do is an error

	// CRLs, if there are any, must cover the target, or with CRLCheckChain every
	// certificate of a path but its root (RFC 5280, Section 6.3).
	CRLs     []*RevocationList
	CRLCheck string // CRLCheckLeaf ("" is the same) or CRLCheckChain
	// OCSP, if set, must say that the target is good; OCSPIssuer, if set, must be
	// whoever issued it.
	OCSP       *OCSPResponse
	OCSPIssuer *x509.Certificate

	// Nearby are certificates that are not given, and that a fix can point to.
	Nearby []Nearby

	// Revoked, if set, tells whether a certificate is known to be revoked, and for
	// which reason (RFC 5280, Section 5.3.1). A path with such a certificate is none.
	Revoked func(*x509.Certificate) (reason string, revoked bool)

	within string // the trust domain whose bundle Roots are, "" for none
}

// Nearby is a certificate that lies somewhere at hand.
type Nearby struct {
	Where       string
	Certificate *x509.Certificate
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
	Range       *Range    `json:"range,omitempty"` // of VerifyUntil
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
	Checks       []Check   `json:"checks,omitempty"`   // what it was held to, with Options.Explain
}

// Member is one certificate of a path.
type Member struct {
	Name        string    `json:"name"`    // what a person calls it
	Subject     string    `json:"subject"` // RFC 4514
	Fingerprint string    `json:"fingerprint"`
	NotAfter    time.Time `json:"notAfter"`
}

// Verify tells whether target is trusted by o.Roots at o.At for all that o asks
// for, and if not, why. It validates paths as RFC 5280, Section 6 says. source is
// repeated in the result.
func Verify(source string, target *x509.Certificate, o Options) Result {
	return NewVerifier(o).Verify(source, target, nil)
}

// Verify is the function of that name for one target of many; between may stand
// between it and a root, beside what the options name. A target that crypto/x509
// could not read has no place here: see Unreadable.
func (v *Verifier) Verify(source string, target *x509.Certificate, between []*x509.Certificate) Result {
	if len(v.o.Bundles) > 0 {
		return v.federated(source, target, between)
	}
	return v.verify(source, target, between)
}

func (v *Verifier) verify(source string, target *x509.Certificate, between []*x509.Certificate) Result {
	o := v.o
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
	v.work, v.names, v.policies = 0, 0, 0
	n, _ := v.node(target)
	s := v.search(n, v.with(between))
	s.came = between
	if len(s.found) > 0 {
		r.accept(s.found)
	} else {
		r.explain(v, s)
	}
	r.Findings = append(r.Findings, identityFindings(e, o)...)
	if f, ok := checkRemaining(s.found, o); !ok {
		r.Findings = append(r.Findings, f)
	}
	r.Trusted = len(s.found) > 0 && len(errorsOnly(r.Findings)) == 0
	if len(s.found) > 0 {
		r.Findings = append(r.Findings, s.found[0].remarks()...)
	}
	return r
}

// accept takes down the paths that hold.
func (r *Result) accept(paths []*path) {
	for _, p := range paths {
		r.Paths = append(r.Paths, p.told(nil))
	}
	until := trustedUntil(paths).UTC()
	r.TrustedUntil = &until
	for _, use := range []string{EKUServerAuth, EKUClientAuth} {
		for _, p := range paths {
			if _, allowed := allows(p.chain, use); allowed {
				r.Uses = append(r.Uses, use)
				break
			}
		}
	}
}

// remarks are what there is to say about a path that holds: what a conforming
// issuer would not have done, and where crypto/x509 would say no.
func (p *path) remarks() []Finding {
	var list []Finding
	if !p.o.Strict {
		for _, f := range p.nonconforming() {
			f.Severity = SeverityWarning
			list = append(list, f)
		}
	}
	for _, g := range p.gaps {
		list = append(list, gapFinding(p, g))
	}
	return list
}

// told is the path as a result has it.
func (p *path) told(findings []Finding) Path {
	t := Path{Findings: findings}
	if p.o.Explain {
		t.Checks = p.checks(findings)
	}
	for _, n := range p.chain {
		t.Certificates = append(t.Certificates, n.member())
	}
	return t
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
