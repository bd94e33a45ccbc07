package inspect

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"
)

// What a careful reader remarks on a source as a whole: how its objects lie in it, and
// what they are to each other.

var (
	ruleFileOrder   = Rule{"chain-order", SeverityWarning, "RFC 8446, Section 4.4.2", "in a chain each certificate is followed by the one that signed it"}
	ruleFileRoot    = Rule{"chain-with-root", SeverityInfo, "RFC 8446, Section 4.4.2", "a chain to be sent ends below its root, which whoever trusts it has"}
	ruleFileGap     = Rule{"chain-interrupted", SeverityWarning, "RFC 8446, Section 4.4.2", "in a chain no certificate is missing between two others"}
	ruleKeyOfNobody = Rule{"key-without-certificate", SeverityError, "RFC 8446, Section 4.4.3", "a private key beside certificates is that of one of them"}
	rulePEMEnds     = Rule{"pem-line-ends", SeverityInfo, "RFC 7468, Section 3", "the lines of PEM end in LF alone"}
	rulePEMBehind   = Rule{"pem-text-behind", SeverityInfo, "RFC 7468, Section 2", "nothing stands behind the last block"}
)

var sourceRules = []Rule{ruleFileOrder, ruleFileRoot, ruleFileGap, ruleKeyOfNobody, rulePEMEnds, rulePEMBehind}

// LintAll is Lint for all objects of one source, whose bytes are data, nil where there
// are none; reports are those of DescribeAll. It also judges the source as a whole.
func LintAll(data []byte, objects []Object, reports []Report) {
	place := map[int]*x509.Certificate{}
	for _, o := range objects {
		place[o.Index] = o.Certificate
	}
	for i, o := range objects {
		var above *x509.Certificate
		if c := reports[i].Certificate; c != nil && c.IssuedByIndex > 0 {
			above = place[c.IssuedByIndex]
		}
		lint(o, &reports[i], above)
	}
	lintKeys(objects, reports)
	if len(data) == 0 || len(objects) == 0 {
		return // a server's chain is judged where it was sent
	}
	lintChain(objects, reports)
	if objects[0].Line > 0 {
		lintText(data, &reports[len(reports)-1])
	}
}

// lintChain judges the order of a chain that starts with the first certificate. What
// comes from keystores and documents has its places by other rules.
func lintChain(objects []Object, reports []Report) {
	var chain []int
	for i, o := range objects {
		if o.Certificate != nil && o.Within == "" {
			chain = append(chain, i)
		}
	}
	if len(chain) < 2 {
		return
	}
	remark := func(i int, r Rule, message, fix string) {
		reports[i].Findings = append(reports[i].Findings, r.broken("", message, fix))
	}
	const order = "put the leaf first, and behind each certificate the one that signed it"
	for n, i := range chain[:len(chain)-1] {
		c, next := reports[i].Certificate, chain[n+1]
		if c.SelfSigned {
			if n == 0 && reports[next].Certificate.IssuedByIndex == objects[i].Index {
				remark(i, ruleFileOrder, "it stands before what it signed: whoever takes the first certificate for the leaf, or for the issuer, takes this one", order)
			}
			return // a bundle of roots has no order
		}
		switch above := c.IssuedByIndex; {
		case above == objects[next].Index:
			continue
		case above > 0:
			remark(i, ruleFileOrder, fmt.Sprintf("the one that signed it is object %d, and it does not follow next", above), order)
		case reports[next].Certificate.IsCA:
			remark(i, ruleFileGap, "the certificate that follows did not sign it, and the one that did is missing", "put it between: meshpki verify names it")
		}
		return
	}
	if last := chain[len(chain)-1]; reports[last].Certificate.SelfSigned && !reports[chain[0]].Certificate.IsCA {
		remark(last, ruleFileRoot, "the root is at the end of the chain: whoever trusts it has it, and to everybody else it says nothing", "leave it out of what a server sends")
	}
}

// lintKeys remarks on a private key that is that of none of the certificates.
func lintKeys(objects []Object, reports []Report) {
	if len(Certificates(objects)) == 0 {
		return
	}
	for i, o := range objects {
		k := reports[i].PrivateKey
		if k == nil || o.PublicKey == nil || len(k.CertificateIndexes) > 0 {
			continue
		}
		reports[i].Findings = append(reports[i].Findings, ruleKeyOfNobody.broken("",
			"it is the key of none of the certificates here: what loads both refuses them", "put the key of the first certificate here, or issue that again with this key"))
	}
}

// lintText judges PEM as text; what there is to say is said of the last block.
func lintText(data []byte, last *Report) {
	if n := bytes.Count(data, []byte("\r\n")); n > 0 {
		last.Findings = append(last.Findings, rulePEMEnds.broken("", fmt.Sprintf("%d lines end in CR LF: programs of today read that, scripts and older ones may not", n), "write the file with LF alone"))
	}
	end := bytes.LastIndex(data, pemEnd)
	if end < 0 {
		return
	}
	_, behind, _ := bytes.Cut(data[end:], []byte("\n"))
	if len(behind) == 0 {
		return
	}
	message := "there is text behind the last block"
	if strings.TrimSpace(string(behind)) == "" {
		message = "there is an empty line behind the last block"
	}
	last.Findings = append(last.Findings, rulePEMBehind.broken("", message+": Linkerd refuses such a file", "end the file with the line feed of the last END"))
}

// lintStrictly adds what the validator holds against a certificate that conforms to
// the standard in all that is judged elsewhere; above is its issuer, nil where that is
// not here or it signed itself.
func lintStrictly(o Object, r *Report, above *x509.Certificate) {
	n := newNode(o.Certificate)
	said := map[string]bool{}
	for _, f := range r.Findings {
		said[f.Rule] = true
	}
	for _, f := range n.flaws {
		f.Certificate, f.Message = "", strings.Replace(f.Message, quoted(shortName(o.Certificate)), "it", 1)
		r.Findings = append(r.Findings, f)
	}
	if n.unknown != "" {
		r.Findings = append(r.Findings, ruleCriticalUnknown.broken("", "its critical extension "+n.unknown+" is understood by no rule here: whoever does not understand it must refuse the certificate",
			"have it issued again without it, or with an extension that is not critical"))
	}
	var issuer *node
	if above != nil {
		issuer = newNode(above)
	}
	for _, check := range conformanceChecks() {
		if said[alike(check.rule.ID)] || check.rule.ID == ruleNoAuthorityID.ID && r.Certificate.SelfSigned {
			continue
		}
		up := issuer
		if check.rule.ID == ruleNoAuthorityID.ID {
			up = n // whoever signed it, it was not itself
		}
		if message := check.breaks(n, up, n.isCA()); message != "" {
			r.Findings = append(r.Findings, check.rule.broken("", "it "+message, "have it issued again by a CA that follows the standard"))
		}
	}
}

// alike is the rule for a certificate that stands alone which says the same as one of
// conformance.
func alike(rule string) string {
	switch rule {
	case ruleBasicMissing.ID:
		return ruleBasicNotCritical.ID
	case ruleSignsUnasked.ID:
		return ruleKeyCertSign.ID
	case ruleWithoutKeyUsage.ID:
		return ruleCAKeyUsage.ID
	case ruleIssuerEmpty.ID:
		return ruleCASubject.ID
	}
	return rule
}
