package inspect

import "crypto/x509"

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

// allows tells whether every certificate of a chain allows a use, and gives the
// first that does not, from the root down. A certificate without the extension
// allows all (RFC 5280, Section 4.2.1.12); a CA's counts for what it issued.
func allows(chain []*node, eku string) (refuses *node, ok bool) {
	for i := len(chain) - 1; i >= 0; i-- {
		if !usageAllows(chain[i].Certificate, eku) {
			return chain[i], false
		}
	}
	return nil, true
}

// usageAllows tells whether one certificate allows a use.
func usageAllows(c *x509.Certificate, eku string) bool {
	want := extKeyUsageOf(eku)
	switch {
	case want == x509.ExtKeyUsageAny:
		return true
	case want == noUsage:
		return false
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0:
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == want || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}
