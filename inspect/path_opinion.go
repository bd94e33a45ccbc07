package inspect

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"
)

// crypto/x509 is asked about every path that holds, as a second opinion: where it
// refuses, the answer is no, unless the reason is one of its known gaps. A gap is
// passed over only as far as it reaches: what lies in it is taken out of the copies
// that crypto/x509 is shown, and it is asked again about all the rest.

// Gap is a reason for which crypto/x509 refuses what the standard allows.
type Gap struct {
	ID       string
	Citation string // by which the path holds
	Title    string // what it does
}

// Gaps lists the known gaps of crypto/x509: for no other reason is a path trusted that
// it refuses.
func Gaps() []Gap {
	var list []Gap
	for _, g := range listGaps() {
		list = append(list, g.Gap)
	}
	return list
}

type gap struct {
	Gap
	// mend takes what crypto/x509 cannot judge out of the copies, and tells whether
	// there was anything. nil where nothing can be taken out.
	mend func(chain []*x509.Certificate, p *path) bool
	// fits tells whether an error can come from this gap.
	fits func(err error) bool
}

// knownGaps lists them. Each has a test that fails when crypto/x509 learns better.
func listGaps() []gap {
	return []gap{
		{Gap{"name-normalisation", "RFC 5280, Section 7.1", "it compares names byte for byte"}, mendNames, isUnknownAuthority},
		{Gap{"self-issued-path-length", "RFC 5280, Section 4.2.1.9", "it counts self-issued certificates as CAs of a path"}, mendLengths, isReason(x509.TooManyIntermediates)},
		{Gap{"self-issued-names", "RFC 5280, Section 6.1.3", "it holds the names of self-issued CAs to name constraints"}, mendSelfIssued, isReason(x509.CANotAuthorizedForThisName)},
		{Gap{"constraint-types", "RFC 5280, Section 4.2.1.10", "it knows no name constraints on directory names and the rarer types"}, mendConstraints, isUnhandled},
		{Gap{"constrained-names-unparsed", "RFC 5280, Section 4.2.1.10", "it refuses names that it cannot parse though no constraint is on their type"}, mendUnparsed, isReason(x509.CANotAuthorizedForThisName)},
		{Gap{"excluded-hosts", "RFC 5280, Section 4.2.1.10", "it takes an excluded host of email addresses or URIs for all hosts below it"}, mendHosts, isReason(x509.CANotAuthorizedForThisName)},
		{Gap{"anchor-basic-constraints", "RFC 5280, Section 6.1.4", "it wants a root of version 3 to have basic constraints"}, mendAnchor, isUnknownAuthority},
		{Gap{"old-signatures", "RFC 5280, Section 6.1.3", "it checks no signatures with SHA-1 or DSA, however long ago they were made"}, nil, isUnknownAuthority},
		{Gap{"signature-limit", "RFC 5280, Section 6.1", "it gives up after a hundred signatures, as among CAs of one name without key identifiers"}, mendNamesakes, isSignatureLimit},
		{Gap{gapUnread, "RFC 5280, Section 4.2.1.13", "it does not read distribution points that are named relative to an issuer"}, nil, func(error) bool { return false }},
	}
}

// gapUnread is the gap of those that crypto/x509 cannot even read.
const gapUnread = "distribution-points"

// opinionPools keeps the pools of the last path: in a list of leaves of one CA
// they are the same for all.
type opinionPools struct {
	above          []*node
	roots, between *x509.CertPool
}

// secondOpinion asks crypto/x509 whether exactly this path holds at its time and
// for its use. That it says yes proves the signatures.
func (p *path) secondOpinion() error {
	above := p.chain[1:]
	pools := &p.v.pools
	if len(above) == 0 {
		pools = &opinionPools{roots: x509.NewCertPool(), between: x509.NewCertPool()}
		pools.roots.AddCert(p.chain[0].Certificate)
	} else if pools.roots == nil || !slices.Equal(pools.above, above) {
		*pools = opinionPools{above, x509.NewCertPool(), x509.NewCertPool()}
		fillPools(pools, certificatesOf(above))
	}
	chains, err := opinionOf(p.chain[0].Certificate, pools, p.o)
	if err != nil {
		return err
	}
	for _, chain := range chains {
		if len(chain) == len(p.chain) && slices.EqualFunc(chain, p.chain, func(c *x509.Certificate, n *node) bool { return c.Equal(n.Certificate) }) {
			for i := range len(p.chain) - 1 {
				p.v.links[linkKey{p.chain[i], p.chain[i+1]}] = linkSound
			}
			return nil
		}
	}
	if p.v.brokenLink(p.chain) < 0 {
		return nil // it reaches the same root by a shorter way
	}
	return x509.UnknownAuthorityError{Cert: p.chain[0].Certificate}
}

func certificatesOf(nodes []*node) []*x509.Certificate {
	list := make([]*x509.Certificate, len(nodes))
	for i, n := range nodes {
		list[i] = n.Certificate
	}
	return list
}

// fillPools puts the last certificate among the roots, the others between.
func fillPools(pools *opinionPools, above []*x509.Certificate) {
	for i, c := range above {
		if i == len(above)-1 {
			pools.roots.AddCert(c)
			break
		}
		pools.between.AddCert(c)
	}
}

func opinionOf(target *x509.Certificate, pools *opinionPools, o *Options) ([][]*x509.Certificate, error) {
	return target.Verify(x509.VerifyOptions{
		Roots: pools.roots, Intermediates: pools.between, CurrentTime: verifyTime(o.At),
		KeyUsages: []x509.ExtKeyUsage{extKeyUsageOf(o.EKU)},
	})
}

// verifyTime keeps the zero time from meaning 'now' to crypto/x509.
func verifyTime(at time.Time) time.Time {
	if at.IsZero() {
		return time.Unix(0, 0)
	}
	return at
}

// knownGaps tells whether all that crypto/x509 has against a path, err being the
// first, is among its known gaps, and which.
func (p *path) knownGaps(err error) (gaps []gap, ok bool) {
	copies := make([]*x509.Certificate, len(p.chain))
	for i, n := range p.chain {
		c := *n.Certificate
		copies[i] = &c
	}
	for err != nil {
		g, found := p.gapOf(err, gaps, copies)
		if !found {
			return nil, false
		}
		gaps = append(gaps, g)
		if g.mend == nil {
			return gaps, true // about the rest it cannot be asked
		}
		pools := &opinionPools{roots: x509.NewCertPool(), between: x509.NewCertPool()}
		fillPools(pools, copies[min(1, len(copies)-1):])
		_, err = opinionOf(copies[0], pools, p.o)
	}
	return gaps, true
}

func (p *path) gapOf(err error, used []gap, copies []*x509.Certificate) (gap, bool) {
	for _, g := range listGaps() {
		if !g.fits(err) || slices.ContainsFunc(used, func(u gap) bool { return u.ID == g.ID }) {
			continue
		}
		if g.mend == nil {
			if p.hasOldSignature() {
				return g, true
			}
			continue
		}
		if g.mend(copies, p) {
			return g, true
		}
	}
	return gap{}, false
}

// unreadGaps are those by which crypto/x509 refuses to read a certificate of the path.
func (p *path) unreadGaps() []gap {
	if !slices.ContainsFunc(p.chain, func(n *node) bool { return n.unread }) {
		return nil
	}
	return slices.DeleteFunc(listGaps(), func(g gap) bool { return g.ID != gapUnread })
}

func (p *path) hasOldSignature() bool {
	return slices.ContainsFunc(p.chain[:len(p.chain)-1], func(n *node) bool { return oldSignature(n.SignatureAlgorithm) })
}

func isUnknownAuthority(err error) bool {
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}

func isSignatureLimit(err error) bool {
	return strings.Contains(err.Error(), "signature check attempts limit")
}

func isUnhandled(err error) bool {
	_, ok := errors.AsType[x509.UnhandledCriticalExtension](err)
	return ok || hintOf(err, x509.UnhandledCriticalExtension{}.Error())
}

// hintOf tells whether crypto/x509 says a reason in passing: of what is above the
// target it tells only that the authority is unknown.
func hintOf(err error, text string) bool {
	return isUnknownAuthority(err) && strings.Contains(err.Error(), text)
}

func isReason(reason x509.InvalidReason) func(error) bool {
	return func(err error) bool {
		if _, kind := invalidReason(err); kind == reason {
			return true
		}
		return reason == x509.TooManyIntermediates && isUnknownAuthority(err)
	}
}

// invalidReason takes an error of crypto/x509 apart; kind is -1 for any other.
func invalidReason(err error) (detail string, kind x509.InvalidReason) {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok {
		return "", -1
	}
	return strings.TrimPrefix(invalid.Detail, "x509: "), invalid.Reason
}
