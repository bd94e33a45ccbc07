package inspect

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	ruleOCSPIssuer    = Rule{"ocsp-issuer-differs", SeverityError, "RFC 6960, Section 4.1.1", "the issuer given with an OCSP response issued the certificate"}
	ruleOCSPOther     = Rule{"ocsp-other-certificate", SeverityError, "RFC 6960, Section 3.2", "the OCSP response is about the certificate"}
	ruleOCSPSignature = Rule{"ocsp-signature-invalid", SeverityError, "RFC 6960, Section 3.2", "the OCSP response was signed by the responder that it names"}
	ruleOCSPResponder = Rule{"ocsp-responder-not-authorized", SeverityError, "RFC 6960, Section 4.2.2.2", "the responder is the issuer, or was authorised by it"}
	ruleOCSPTime      = Rule{"ocsp-out-of-date", SeverityError, "RFC 6960, Section 3.2", "the OCSP response holds at the time"}
	ruleOCSPUnknown   = Rule{"ocsp-status-unknown", SeverityError, "RFC 6960, Section 2.2", "the responder knows the certificate"}
	ruleOCSPCritical  = Rule{"ocsp-extension-unknown", SeverityError, "RFC 6960, Section 4.4", "every critical extension of the OCSP response is understood"}
)

var ocspRules = []Rule{ruleOCSPIssuer, ruleOCSPOther, ruleOCSPSignature, ruleOCSPResponder, ruleOCSPTime, ruleOCSPUnknown, ruleOCSPCritical}

// checkOCSP asks an OCSP response about the target (RFC 6960, Section 3.2).
func checkOCSP(p *path) (Finding, bool) {
	if p.o.OCSP == nil {
		return Finding{}, true
	}
	c, issuer := p.chain[0], p.ocspIssuer()
	fail := func(r Rule, message, fix string) (Finding, bool) { return r.broken(c.name(), message, fix), false }
	if issuer == nil {
		return fail(ruleOCSPIssuer, "whoever issued "+quoted(c.name())+" is not the certificate that was given as the issuer",
			"give the certificate of "+issuerText(c.Certificate)+" with --issuer")
	}
	r := p.o.OCSP
	var about []ocspSingle
	for _, a := range r.answers {
		if a.isAbout(c.Certificate, issuer) {
			about = append(about, a)
		}
	}
	if len(about) == 0 {
		return fail(ruleOCSPOther, "the OCSP response says nothing about "+quoted(c.name())+" as issued by "+quoted(issuer.name()),
			"ask the responder about this certificate")
	}
	if f, ok := p.checkResponder(r, issuer); !ok {
		return f, false
	}
	if r.unknown != "" {
		return fail(ruleOCSPCritical, "the OCSP response has a critical extension that is not understood ("+r.unknown+")", "ask for a response without it")
	}
	// Of several answers the worst counts, whichever is newer: one of them is wrong.
	slices.SortStableFunc(about, func(x, y ocspSingle) int { return cmp.Compare(severity(x.status), severity(y.status)) })
	switch about[0].status {
	case ocspRevoked:
		return revokedFinding(c, reasonName(about[0].reason)), false
	case ocspUnknown:
		return p.checkAnswer(r, about[0])
	}
	trouble := Finding{}
	for _, a := range about {
		f, ok := p.checkAnswer(r, a)
		if ok {
			return Finding{}, true
		}
		trouble = f
	}
	return trouble, false
}

// severity orders what a responder can say, the worst first.
func severity(status int) int {
	return map[int]int{ocspRevoked: 0, ocspUnknown: 1, ocspGood: 2}[status]
}

// ocspIssuer is the certificate above the target; where one was given as the issuer,
// it must be of the same name and key. The target may itself be a root.
func (p *path) ocspIssuer() *node {
	var above *node
	if len(p.chain) > 1 {
		above = p.chain[1]
	} else if p.chain[0].selfIssued {
		above = p.chain[0]
	}
	if p.o.OCSPIssuer == nil {
		return above
	}
	given, _ := p.v.node(p.o.OCSPIssuer)
	if above == nil {
		return nil
	}
	if given.subject != p.chain[0].issuer || !bytes.Equal(given.RawSubjectPublicKeyInfo, above.RawSubjectPublicKeyInfo) {
		return nil
	}
	return given
}

// isAbout compares the certificate's issuer and serial number with those of an answer.
func (a *ocspSingle) isAbout(c *x509.Certificate, issuer *node) bool {
	name, key := ocspHash(a.hash, c.RawIssuer), ocspHash(a.hash, keyBits(issuer.RawSubjectPublicKeyInfo))
	return name != nil && a.serial.Cmp(c.SerialNumber) == 0 && bytes.Equal(a.keyHash, key) &&
		(bytes.Equal(a.nameHash, name) || bytes.Equal(a.nameHash, ocspHash(a.hash, issuer.RawSubject)))
}

// ocspHash hashes by the OID of a hash; nil for one that is not known.
func ocspHash(oid string, data []byte) []byte {
	switch oid {
	case "1.3.14.3.2.26":
		sum := sha1.Sum(data)
		return sum[:]
	case "2.16.840.1.101.3.4.2.1":
		sum := sha256.Sum256(data)
		return sum[:]
	case "2.16.840.1.101.3.4.2.2":
		sum := sha512.Sum384(data)
		return sum[:]
	case "2.16.840.1.101.3.4.2.3":
		sum := sha512.Sum512(data)
		return sum[:]
	}
	return nil
}

// keyBits is the content of the BIT STRING of a SubjectPublicKeyInfo.
func keyBits(spki []byte) []byte {
	input := cryptobyte.String(spki)
	var outer, algorithm cryptobyte.String
	var bits []byte
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !outer.ReadASN1BitStringAsBytes(&bits) {
		return nil
	}
	return bits
}

// checkResponder finds who signed: the issuer, or one whom it authorised by a
// certificate of its own for OCSP signing (RFC 6960, Section 4.2.2.2).
func (p *path) checkResponder(r *OCSPResponse, issuer *node) (Finding, bool) {
	name := p.chain[0].name()
	candidates := []*x509.Certificate{issuer.Certificate}
	candidates = append(candidates, r.certs...)
	for _, c := range candidates {
		if !r.names(c) {
			continue
		}
		p.v.work += checkCost(c.PublicKey)
		if p.v.work > maxLinkWork || checkSignatureAt(r.algorithm, r.tbs, r.signature, c, p.o.At, ocspSHA1(p.o)) != nil {
			continue
		}
		if bytes.Equal(c.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) && canonicalName(c.RawSubject) == issuer.subject {
			return Finding{}, true
		}
		if why := p.unauthorised(c, issuer); why != "" {
			return ruleOCSPResponder.broken(name, fmt.Sprintf("the OCSP response was signed by %s, and %s", quoted(shortName(c)), why),
				"ask a responder that "+quoted(issuer.name())+" has authorised"), false
		}
		return Finding{}, true
	}
	return ruleOCSPSignature.broken(name, "the OCSP response was not signed by "+quoted(issuer.name())+", nor by anybody whose certificate came with it",
		"ask the responder again; if its key is another's, its certificate must come with the response"), false
}

// names tells whether a response says that this certificate's key signed it.
func (r *OCSPResponse) names(c *x509.Certificate) bool {
	if r.byKey != nil {
		sum := sha1.Sum(keyBits(c.RawSubjectPublicKeyInfo))
		return bytes.Equal(r.byKey, sum[:])
	}
	return r.byName == canonicalName(c.RawSubject)
}

// unauthorised says why a certificate does not make its key a responder of the issuer.
func (p *path) unauthorised(c *x509.Certificate, issuer *node) string {
	delegated := false
	for _, u := range c.ExtKeyUsage {
		delegated = delegated || u == x509.ExtKeyUsageOCSPSigning
	}
	_, inTime := checkTime(c, placeLeaf, p.o.At)
	n, _ := p.v.node(c)
	switch {
	case !delegated:
		return "its certificate is not for OCSP signing"
	case n.issuer != issuer.subject || p.v.link(n, issuer) != linkSound:
		return "its certificate was not issued by " + quoted(issuer.name())
	case !inTime:
		return "its certificate is out of date"
	case n.unknown != "" && n.unknown != "1.3.6.1.5.5.7.48.1.5":
		return "its certificate cannot be understood"
	case c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0:
		return "its certificate is not for signatures"
	}
	return ""
}

// checkAnswer judges a single answer by its status and its time.
func (p *path) checkAnswer(r *OCSPResponse, a ocspSingle) (Finding, bool) {
	name := p.chain[0].name()
	fail := func(rule Rule, message, fix string) (Finding, bool) { return rule.broken(name, message, fix), false }
	const again = "ask the responder again"
	switch {
	case a.unknown != "":
		return fail(ruleOCSPCritical, "the OCSP response has a critical extension that is not understood ("+a.unknown+")", "ask for a response without it")
	case a.status == ocspUnknown:
		return fail(ruleOCSPUnknown, "the responder does not know "+quoted(name), "ask the responder of the CA that issued it")
	case a.thisUpdate.After(p.o.At):
		return fail(ruleOCSPTime, "the OCSP response is from the future: it holds from "+moment(a.thisUpdate), "check the clocks of this machine and of the responder")
	case a.nextUpdate.IsZero() && p.o.At.Sub(a.thisUpdate) > ocspAge:
		return fail(ruleOCSPTime, fmt.Sprintf("the OCSP response does not say until when it holds, and is %s old", span(seconds(a.thisUpdate, p.o.At))), again)
	case !a.nextUpdate.IsZero() && p.o.At.After(a.nextUpdate):
		return fail(ruleOCSPTime, fmt.Sprintf("the OCSP response held until %s, which is %s ago", moment(a.nextUpdate), span(seconds(a.nextUpdate, p.o.At))), again)
	case r.producedAt.Before(p.chain[0].NotBefore) || r.producedAt.After(p.chain[0].NotAfter):
		return fail(ruleOCSPTime, "the OCSP response was made at "+moment(r.producedAt)+", when "+quoted(name)+" was not valid", again)
	}
	return Finding{}, true
}

// ocspAge is how long an answer counts that does not say itself.
const ocspAge = 7 * 24 * time.Hour

// ocspSHA1 is until when a response may be signed with SHA-1: long after
// certificates, since nobody but the CA chooses what stands in one.
func ocspSHA1(o *Options) time.Time {
	if o.Strict {
		return time.Time{}
	}
	return time.Date(2022, 6, 1, 0, 0, 0, 0, time.UTC)
}
