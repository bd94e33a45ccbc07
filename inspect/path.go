package inspect

import (
	"crypto/x509"
	"errors"
	"time"
)

// findPaths gives every chain from target to one of o.Roots that holds at o.At
// and allows o.EKU, target first, or the reason why there is none. This is the
// seam of path validation: whoever validates otherwise replaces this function,
// and explain.go then asks less of the error.
func findPaths(target *x509.Certificate, o Options) ([][]*x509.Certificate, error) {
	if extKeyUsageOf(o.EKU) == noUsage {
		return nil, errUnknownUse
	}
	return target.Verify(x509.VerifyOptions{
		// Never nil: nil would mean the system's roots.
		Roots:         poolOf(o.Roots),
		Intermediates: poolOf(o.Intermediates),
		CurrentTime:   verifyTime(o.At),
		KeyUsages:     []x509.ExtKeyUsage{extKeyUsageOf(o.EKU)},
	})
}

// poolOf leaves out keys so large that checking a signature would take too long.
func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		if c != nil && (c.PublicKey == nil || usableKey(c.PublicKey)) {
			pool.AddCert(c)
		}
	}
	return pool
}

// verifyTime keeps the zero time from meaning 'now' to crypto/x509.
func verifyTime(at time.Time) time.Time {
	if at.IsZero() {
		return time.Unix(0, 0)
	}
	return at
}

// extKeyUsageOf is the use that an option names. What it does not know is a use
// that no certificate has.
func extKeyUsageOf(eku string) x509.ExtKeyUsage {
	switch eku {
	case "", EKUAny:
		return x509.ExtKeyUsageAny
	case EKUServerAuth:
		return x509.ExtKeyUsageServerAuth
	case EKUClientAuth:
		return x509.ExtKeyUsageClientAuth
	}
	return noUsage
}

// noUsage is none of the uses that crypto/x509 knows.
const noUsage x509.ExtKeyUsage = -2

var errUnknownUse = errors.New("the use that was asked for is not known")

// allows tells whether every certificate of a chain allows a use, and gives the
// first that does not, from the root down. A certificate without the extension
// allows all (RFC 5280, Section 4.2.1.12); a CA's counts for what it issued.
func allows(chain []*x509.Certificate, eku string) (refuses *x509.Certificate, ok bool) {
	want := extKeyUsageOf(eku)
	if want == x509.ExtKeyUsageAny {
		return nil, true
	}
	if want == noUsage {
		return chain[0], false
	}
	for i := len(chain) - 1; i >= 0; i-- {
		if !allowsAlone(chain[i], want) {
			return chain[i], false
		}
	}
	return nil, true
}

func allowsAlone(c *x509.Certificate, want x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == want || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// shortest is the certificate of a chain that ends first.
func shortest(chain []*x509.Certificate) *x509.Certificate {
	least := chain[0]
	for _, c := range chain[1:] {
		if c.NotAfter.Before(least.NotAfter) {
			least = c
		}
	}
	return least
}

// longest is the chain that holds longest.
func longest(chains [][]*x509.Certificate) []*x509.Certificate {
	best := chains[0]
	for _, chain := range chains[1:] {
		if shortest(chain).NotAfter.After(shortest(best).NotAfter) {
			best = chain
		}
	}
	return best
}

// trustedUntil is when the last of the chains ends.
func trustedUntil(chains [][]*x509.Certificate) time.Time { return shortest(longest(chains)).NotAfter }
