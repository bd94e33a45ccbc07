package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/meshpki/meshpki/inspect"
)

// Inspection says what was found in one or more sources.
type Inspection struct {
	Reports []inspect.Report
	// Family is who signed whom, to be drawn instead of the reports; nil where nobody asked.
	Family []*inspect.Kin
	Now    time.Time
}

// Schema names the document.
func (d Inspection) Schema() string { return "inspect" }

// Data is the list of reports.
func (d Inspection) Data() any {
	if d.Reports == nil {
		return []inspect.Report{}
	}
	return d.Reports
}

// column is the width of the names of facts in both documents of this file and verify.go.
const column = 9

// Text says each source, and in it each object.
func (d Inspection) Text(p *Page) {
	if d.Family != nil {
		d.family(p)
		return
	}
	for rest := d.Reports; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Source == rest[0].Source {
			n++
		}
		if p.Blank(); n > 1 {
			p.Para(p.Indent(), Clean(rest[0].Source)+": "+census(rest[:n]))
		}
		for _, r := range rest[:n] {
			p.Blank()
			d.object(p, r, n)
		}
		rest = rest[n:]
	}
}

// census counts what a source holds: "3 certificates, 1 private key".
func census(reports []inspect.Report) string {
	counts := map[inspect.Kind]int{}
	var kinds []inspect.Kind
	unreadable := 0
	for _, r := range reports {
		if counts[r.Kind]++; counts[r.Kind] == 1 {
			kinds = append(kinds, r.Kind)
		}
		if r.Error != "" {
			unreadable++
		}
	}
	var words []string
	for _, k := range kinds {
		words = append(words, Count(counts[k], kindNoun(k)))
	}
	text := strings.Join(words, ", ")
	if unreadable > 0 {
		text += fmt.Sprintf("; %d of them cannot be read", unreadable)
	}
	return text
}

func kindNoun(k inspect.Kind) string {
	if k == inspect.KindOther {
		return "other block"
	}
	return k.String()
}

// object says one object; siblings is the number of objects in its source.
func (d Inspection) object(p *Page, r inspect.Report, siblings int) {
	switch {
	case r.Error != "":
		p.Say(Bad, "cannot read this "+kindNoun(r.Kind)+": "+Clean(r.Error))
	case r.Certificate != nil:
		d.certificate(p, r)
	case r.Request != nil:
		requestText(p, r)
	case r.CRL != nil:
		d.crl(p, r)
	case r.OCSP != nil:
		d.ocsp(p, r)
	case r.Endpoint != nil:
		endpointText(p, r)
	case r.Kind == inspect.KindSet:
		setText(p, r)
	case r.PrivateKey != nil:
		keyText(p, r)
	case r.PublicKey != nil:
		p.Say(worst(r.Findings), "public key, "+keyType(*r.PublicKey))
		p.Field(column, "key", r.PublicKey.Fingerprint)
	default:
		p.Say(None, "a PEM block \""+Clean(r.Label)+"\", which is not read")
	}
	where := Clean(r.Source)
	if r.Within != "" {
		where += ", " + Clean(r.Within)
	}
	if siblings > 1 {
		where += fmt.Sprintf(", object %d of %d", r.Index, siblings)
	}
	if r.Line > 0 && siblings > 1 {
		where += fmt.Sprintf(", line %d", r.Line)
	}
	p.Field(column, "in", where)
	if len(r.Consumers) > 0 {
		p.consumers(r.Consumers)
	}
	p.findings(r.Findings)
}

func (d Inspection) certificate(p *Page, r inspect.Report) {
	c := r.Certificate
	p.Say(worst(r.Findings), p.Bold(Clean(c.Name))+", "+certificateRole(c)+", "+d.validity(c.Validity))
	p.Field(column, "subject", name(c.Subject))
	issuer := name(c.Issuer)
	if c.IssuedByIndex > 0 {
		issuer += fmt.Sprintf(" (object %d)", c.IssuedByIndex)
	}
	p.Field(column, "issuer", issuer)
	p.identity(c.SPIFFEID, c.SVID, c.Names)
	p.Field(column, "use", uses(c.ExtKeyUsage, c.KeyUsage))
	if !c.NotBefore.IsZero() {
		p.Field(column, "from", fmt.Sprintf("%s (%s)", Date(c.NotBefore), away(c.NotBefore, d.Now)))
	}
	if !c.NotAfter.IsZero() {
		p.Field(column, "until", fmt.Sprintf("%s (%s)", Date(c.NotAfter), away(c.NotAfter, d.Now)))
	}
	p.Field(column, "serial", c.Serial)
	key := keyType(c.PublicKey)
	if c.PrivateKeyIndex > 0 {
		key += fmt.Sprintf(", whose private key is object %d", c.PrivateKeyIndex)
	}
	p.Field(column, "key", key)
	p.Field(column, "signed", Clean(c.SignatureAlgorithm))
	p.Field(column, "key id", c.SubjectKeyID)
	p.Field(column, "issuer id", c.AuthorityKeyID)
	p.Field(column, "sha256", c.Fingerprint)
	if c.MaxPathLen != nil {
		p.Field(column, "below it", Count(*c.MaxPathLen, "CA")+" at the most")
	}
	if n := c.Constraints; n != nil {
		p.Field(column, "permits", subtrees(n.Permitted))
		p.Field(column, "excludes", subtrees(n.Excluded))
	}
	p.Field(column, "crl", cleanList(c.CRLDistributionPoints, 4))
	p.Field(column, "ocsp", cleanList(c.OCSPServers, 4))
	p.Field(column, "made by", cleanList(c.IssuingURLs, 4))
	p.Field(column, "policies", cleanList(c.Policies, 8))
	p.Field(column, "critical", cleanList(c.CriticalUnknown, 8))
}

// identity says the names of a certificate or request.
func (p *Page) identity(spiffeID string, svid bool, n inspect.Names) {
	if spiffeID != "" {
		text := Clean(spiffeID)
		if svid {
			text += ", an X509-SVID"
		}
		p.Field(column, "identity", text)
	}
	all := append(append(append([]string{}, n.DNSNames...), n.IPAddresses...), n.EmailAddresses...)
	for _, u := range n.URIs {
		if u != spiffeID {
			all = append(all, u)
		}
	}
	p.Field(column, "names", cleanList(append(all, n.Others...), 20))
}

// subtrees says the names of one side of name constraints.
func subtrees(n inspect.Names) string {
	var parts []string
	for _, side := range []struct {
		kind string
		list []string
	}{{"dns", n.DNSNames}, {"ip", n.IPAddresses}, {"email", n.EmailAddresses}, {"uri", n.URIs}, {"", n.Others}} {
		for _, s := range side.list {
			if s == "" {
				s = "everything"
			}
			parts = append(parts, strings.TrimSpace(side.kind+" "+s))
		}
	}
	return cleanList(parts, 20)
}

func certificateRole(c *inspect.CertificateFacts) string {
	switch {
	case c.IsCA && c.SelfSigned:
		return "root"
	case c.IsCA:
		return "intermediate"
	case c.SelfSigned:
		return "self-signed leaf"
	}
	return "leaf"
}

// validity says in the first line how a certificate stands to now.
func (d Inspection) validity(v inspect.Validity) string {
	switch v.State {
	case inspect.StateUnknown:
		return "malformed"
	case inspect.StateExpired:
		return "expired " + away(v.NotAfter, d.Now)
	case inspect.StateNotYetValid:
		return "not valid yet: it starts " + away(v.NotBefore, d.Now)
	}
	if v.NotAfter.Year() == 9999 {
		return "never expires"
	}
	return "expires " + away(v.NotAfter, d.Now)
}

func requestText(p *Page, r inspect.Report) {
	q := r.Request
	p.Say(worst(r.Findings), p.Bold(Clean(q.Name))+", certificate request")
	p.Field(column, "subject", name(q.Subject))
	p.identity(q.SPIFFEID().String(), false, q.Names)
	key := keyType(q.PublicKey)
	if q.PrivateKeyIndex > 0 {
		key += fmt.Sprintf(", whose private key is object %d", q.PrivateKeyIndex)
	}
	p.Field(column, "key", key)
	signed := Clean(q.SignatureAlgorithm) + ", with its own key"
	if !q.SignatureValid {
		signed = Clean(q.SignatureAlgorithm) + ", which does not prove its own key"
	}
	p.Field(column, "signed", signed)
}

// revokedShown is the number of a CRL's entries that its text lists.
const revokedShown = 10

func (d Inspection) crl(p *Page, r inspect.Report) {
	c := r.CRL
	when := "without a next update"
	if c.NextUpdate != nil {
		when = "next update " + away(*c.NextUpdate, d.Now)
	}
	p.Say(worst(r.Findings), fmt.Sprintf("CRL of %s, %d revoked, %s", p.Bold(name(c.Issuer)), c.Entries, when))
	if c.IssuedByIndex > 0 {
		p.Field(column, "issuer", fmt.Sprintf("object %d", c.IssuedByIndex))
	}
	p.Field(column, "number", c.Number)
	if !c.ThisUpdate.IsZero() {
		p.Field(column, "from", fmt.Sprintf("%s (%s)", Date(c.ThisUpdate), away(c.ThisUpdate, d.Now)))
	}
	if c.NextUpdate != nil {
		p.Field(column, "until", fmt.Sprintf("%s (%s)", Date(*c.NextUpdate), away(*c.NextUpdate, d.Now)))
	}
	p.Field(column, "signed", Clean(c.SignatureAlgorithm))
	p.Field(column, "issuer id", c.AuthorityKeyID)
	for i, e := range c.Revoked {
		if i == revokedShown {
			p.Field(column, "", fmt.Sprintf("and %d more", c.Entries-revokedShown))
			break
		}
		label := ""
		if i == 0 {
			label = "revoked"
		}
		p.Field(column, label, fmt.Sprintf("%s at %s, %s", e.Serial, Date(e.At), e.Reason))
	}
}

func keyText(p *Page, r inspect.Report) {
	k := r.PrivateKey
	if k.Encrypted {
		p.Say(worst(r.Findings), "private key, encrypted: nothing else can be told without its passphrase")
		return
	}
	p.Say(worst(r.Findings), "private key, "+keyType(*k.PublicKey)+", not encrypted")
	p.Field(column, "public", k.PublicKey.Fingerprint)
	var places []string
	for _, i := range k.CertificateIndexes {
		places = append(places, "object "+strconv.Itoa(i))
	}
	if len(places) > 0 {
		p.Field(column, "belongs", "to "+List(places, 8))
	}
}

// keyType says a public key in words: "EC P-256", "RSA 2048".
func keyType(k inspect.PublicKeyFacts) string {
	switch kind, size, _ := strings.Cut(k.Type, "-"); {
	case kind == "ec":
		return "EC " + strings.Replace(strings.ToUpper(size), "P", "P-", 1)
	case kind == "rsa" && k.Bits > 0:
		return "RSA " + size
	case k.Type == "ed25519":
		return "Ed25519"
	case k.Type == "x25519":
		return "X25519"
	}
	return k.Type
}

// uses says what a certificate may be used for.
func uses(ext, key []string) string {
	var parts []string
	if text := purposes(ext); text != "" {
		parts = append(parts, text)
	}
	if len(key) > 0 {
		parts = append(parts, strings.Join(key, ", "))
	}
	return strings.Join(parts, "; ")
}

// purposes says the extended key usages as a person would.
func purposes(ext []string) string {
	var server, client bool
	var others []string
	for _, u := range ext {
		switch u {
		case inspect.EKUServerAuth:
			server = true
		case inspect.EKUClientAuth:
			client = true
		default:
			others = append(others, u)
		}
	}
	var parts []string
	switch {
	case server && client:
		parts = append(parts, "server and client, mutual TLS")
	case server:
		parts = append(parts, "server only")
	case client:
		parts = append(parts, "client only")
	}
	return cleanList(append(parts, others...), 8)
}

// findings says what is wrong, each with its clause and what to do.
func (p *Page) findings(list []inspect.Finding) {
	for _, f := range list {
		p.finding(p.Indent(), f)
	}
}

// finding says one of them at that indent.
func (p *Page) finding(indent int, f inspect.Finding) {
	sign := Bad
	switch f.Severity {
	case inspect.SeverityWarning:
		sign = Look
	case inspect.SeverityInfo:
		sign = None
	}
	hang := indent + p.Indent()
	p.b.WriteString(strings.Repeat(" ", indent) + p.Sign(sign))
	p.wrap(hang, hang, Clean(f.Message)+" ("+f.Citation+")")
	if f.Fix != "" {
		p.Para(hang, "fix: "+Clean(f.Fix))
	}
}

// worst is the sign for the worst of the findings.
func worst(list []inspect.Finding) Sign {
	sign := Good
	for _, f := range list {
		switch f.Severity {
		case inspect.SeverityError:
			return Bad
		case inspect.SeverityWarning:
			sign = Look
		}
	}
	return sign
}

// name makes a distinguished name safe. It has its own escapes for all that
// cannot be seen, so that its backslashes can stand as they are.
func name(dn string) string {
	if dn == "" {
		return "(empty)"
	}
	if strings.ContainsFunc(dn, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return Clean(dn)
	}
	return dn
}

// cleanList joins names that are not ours, and counts those after the first few.
func cleanList(names []string, most int) string {
	if len(names) == 0 {
		return ""
	}
	clean := make([]string, 0, min(len(names), most+1))
	for _, n := range names[:min(len(names), most)] {
		clean = append(clean, Clean(n))
	}
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s (+%d more)", strings.Join(clean, ", "), more)
	}
	return strings.Join(clean, ", ")
}

// away says where t lies from now, however far that is: a duration holds no more
// than 292 years.
func away(t, now time.Time) string {
	years := (t.Unix() - now.Unix()) / (365 * 86400)
	switch {
	case t.Year() == 9999:
		return "no end" // RFC 5280, Section 4.1.2.5
	case years > 200:
		return fmt.Sprintf("in %d years", years)
	case years < -200:
		return fmt.Sprintf("%d years ago", -years)
	}
	return Relative(t, now)
}
