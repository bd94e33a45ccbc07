package inspect

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// node is a certificate as paths see it: what they ask of it, read once.
type node struct {
	*x509.Certificate
	subject, issuer string   // canonical: equal names are equal strings
	rdns            []string // of the subject, canonical
	selfIssued      bool     // RFC 5280, Section 3.2
	anchor          bool     // one of the roots

	names       []generalName // the subject alternative names
	trees       *subtrees     // the name constraints, nil without any
	constrained []generalName // what name constraints apply to, once it was asked for
	policies    policyNode
	points      []distributionPoint
	unread      bool      // by crypto/x509: see ReadCertificate
	called      string    // its name, once it was asked for
	told        *Member   // likewise
	flaws       []Finding // extensions that this package must understand and cannot
	unknown     string    // the first critical extension that is not understood, as an OID
}

// understood are the extensions that paths are judged by: no other may be
// critical (RFC 5280, Section 4.2).
var understood = map[string]func(n *node, value []byte) error{
	"2.5.29.14": nil, // subject key identifier
	"2.5.29.15": nil, // key usage
	"2.5.29.17": readAltNames,
	"2.5.29.19": nil, // basic constraints
	"2.5.29.30": readConstraints,
	"2.5.29.31": readPoints,
	"2.5.29.32": readPolicies,
	"2.5.29.33": readMappings,
	"2.5.29.35": nil, // authority key identifier
	"2.5.29.36": readPolicyConstraints,
	"2.5.29.37": readUsages,
	"2.5.29.54": readInhibitAny,
}

func newNode(c *x509.Certificate) *node {
	n := &node{Certificate: c, issuer: canonicalName(c.RawIssuer)}
	n.rdns, _ = canonicalRDNs(c.RawSubject)
	n.subject = joinRDNs(n.rdns)
	n.selfIssued = n.subject == n.issuer
	n.policies = noPolicies
	if f, refused := refusedCertificate(c); refused {
		n.flaws = []Finding{f}
		return n
	}
	for _, e := range c.Extensions {
		read, known := understood[arcOf(e.Id)]
		if !known {
			if e.Critical && n.unknown == "" {
				n.unknown = e.Id.String()
			}
			continue
		}
		if read == nil {
			continue
		}
		if err := read(n, e.Value); err != nil {
			n.flaws = append(n.flaws, malformedExtension(c, e, err))
		}
		if q := n.policies.qualifier; q != "" && e.Critical && arcOf(e.Id) == "2.5.29.32" && n.unknown == "" {
			n.unknown = "the policy qualifier " + q // RFC 5280, Section 4.2.1.4: critical, it must be understood in whole
		}
	}
	return n
}

// refusedCertificate is the finding for a certificate that crypto/x509 does not
// read: what could be read of it has no signature.
func refusedCertificate(c *x509.Certificate) (Finding, bool) {
	if len(c.Signature) > 0 {
		return Finding{}, false
	}
	_, err := ReadCertificate(c.Raw)
	if err == nil {
		return Finding{}, false
	}
	f := malformed(parseError(KindCertificate, c.Raw, err))
	f.Certificate = shortName(c)
	f.Message = quoted(f.Certificate) + strings.TrimPrefix(f.Message, "it")
	return f, true
}

// arcOf is the text of an OID below 2.5.29, where all that are understood lie.
func arcOf(oid asn1.ObjectIdentifier) string {
	if len(oid) == 4 && oid[0] == 2 && oid[1] == 5 && oid[2] == 29 && oid[3] >= 14 && oid[3] <= 54 {
		return "2.5.29." + string([]byte{'0' + byte(oid[3]/10), '0' + byte(oid[3]%10)})
	}
	return ""
}

// isCA tells whether it says that it is a CA (RFC 5280, Section 4.2.1.9).
func (n *node) isCA() bool { return isCA(n.Certificate) }

// name is what a person calls it.
func (n *node) name() string {
	if n.called == "" {
		n.called = shortName(n.Certificate)
	}
	return n.called
}

// member is the certificate as a path tells of it.
func (n *node) member() Member {
	if n.told == nil {
		c := n.Certificate
		n.told = &Member{Name: n.name(), Subject: nameOr(c.RawSubject), Fingerprint: fingerprint(c.Raw), NotAfter: c.NotAfter.UTC()}
	}
	return *n.told
}

func readAltNames(n *node, value []byte) (err error) {
	n.names, err = readGeneralNames(value)
	return err
}

func readConstraints(n *node, value []byte) (err error) {
	n.trees, err = readSubtrees(value)
	return err
}

// readUsages only looks whether there is any; crypto/x509 has read them.
func readUsages(_ *node, value []byte) error {
	input := cryptobyte.String(value)
	var list cryptobyte.String
	if !input.ReadASN1(&list, cbasn1.SEQUENCE) || !input.Empty() {
		return errors.New("it is no list of uses")
	}
	if list.Empty() {
		return errors.New("it names no use")
	}
	return nil
}

// clauses are the sections of RFC 5280 on the extensions that are understood.
var clauses = map[string]string{
	"2.5.29.17": "4.2.1.6", "2.5.29.30": "4.2.1.10", "2.5.29.31": "4.2.1.13", "2.5.29.32": "4.2.1.4", "2.5.29.33": "4.2.1.5",
	"2.5.29.36": "4.2.1.11", "2.5.29.37": "4.2.1.12", "2.5.29.54": "4.2.1.14",
}

func malformedExtension(c *x509.Certificate, e pkix.Extension, err error) Finding {
	oid := e.Id.String()
	f := ruleExtension.broken(shortName(c),
		quoted(shortName(c))+" has an extension ("+extensionNames[oid]+") that is malformed: "+err.Error(),
		"have it issued again by a program that writes the extension as the standard says")
	f.Citation = "RFC 5280, Section " + clauses[oid]
	return f
}
