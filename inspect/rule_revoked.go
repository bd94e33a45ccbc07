package inspect

var ruleRevoked = Rule{"revoked", SeverityError, "RFC 5280, Section 6.1.3", "no certificate of the path is revoked"}

// checkRevoked asks who knows what is revoked about every certificate of a path,
// and names the one nearest to the root, whose end ends all below it.
func checkRevoked(p *path) (Finding, bool) {
	if p.o.Revoked == nil {
		return Finding{}, true
	}
	for i := len(p.chain) - 1; i >= 0; i-- {
		if reason, revoked := p.o.Revoked(p.chain[i].Certificate); revoked {
			return revokedFinding(p.chain[i], reason), false
		}
	}
	return Finding{}, true
}

func revokedFinding(c *node, reason string) Finding {
	message := quoted(c.name()) + " is revoked"
	if reason != "" {
		message += " (" + reason + ")"
	}
	return ruleRevoked.broken(c.name(), message, "have a new certificate issued in its place")
}
