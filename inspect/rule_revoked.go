package inspect

import "crypto/x509"

var ruleRevoked = Rule{"revoked", SeverityError, "RFC 5280, Section 6.1.3", "no certificate of the path is revoked"}

// unrevoked sorts the paths by whether a certificate of theirs is revoked. A
// finding stands for each path that has one, naming the certificate nearest to
// the root, whose end ends all below it.
func unrevoked(chains [][]*x509.Certificate, o Options) (sound, ended [][]*x509.Certificate, findings []Finding) {
	if o.Revoked == nil {
		return chains, nil, nil
	}
	for _, chain := range chains {
		if f, ok := checkRevoked(chain, o); !ok {
			ended, findings = append(ended, chain), append(findings, f)
			continue
		}
		sound = append(sound, chain)
	}
	return sound, ended, findings
}

func checkRevoked(chain []*x509.Certificate, o Options) (Finding, bool) {
	for i := len(chain) - 1; i >= 0; i-- {
		reason, revoked := o.Revoked(chain[i])
		if !revoked {
			continue
		}
		name := shortName(chain[i])
		message := quoted(name) + " is revoked"
		if reason != "" {
			message += " (" + reason + ")"
		}
		return ruleRevoked.broken(name, message, "have a new certificate issued in its place"), false
	}
	return Finding{}, true
}
