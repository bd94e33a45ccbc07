package command

import (
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

// transcript is the record of one step of a ceremony in the making. No secret gets
// into it: there is none on a command line, and what is typed unseen is not here.
type transcript struct {
	b    strings.Builder
	step string
	now  func() time.Time
	look ui.Options
}

// pinValue is a secret on the command line: it is refused there, and kept nowhere.
var pinValue = regexp.MustCompile(`(?i)(pin-value=)[^;&? ]*`)

// transcript begins the record of a step.
func (c *call) transcript(step string) *transcript {
	t := &transcript{step: step, now: c.env.Now, look: ui.Options{Width: 80, UTF8: true}}
	fmt.Fprintf(&t.b, "meshpki %s, a step of a ceremony\n\n", strings.Join(c.self.words(), " "))
	t.line("command", pinValue.ReplaceAllString(strings.Join(append([]string{"meshpki"}, c.env.Args[1:]...), " "), "$1…"))
	t.line("directory", c.dir())
	return t
}

// line adds a fact, with the time at which it came to be one.
func (t *transcript) line(what, text string) {
	said := fmt.Sprintf("%s  %-11s  %s", t.now().UTC().Format(time.RFC3339), what, ui.Clean(text))
	t.b.WriteString(strings.TrimRight(said, " ") + "\n")
}

// show adds what was shown.
func (t *transcript) show(text func(*ui.Page)) {
	p := ui.NewPage(t.look)
	text(p)
	t.line("shown", "")
	for line := range strings.Lines(p.String()) {
		t.b.WriteString("    " + line)
	}
}

// end adds how the step ended and keeps the record.
func (t *transcript) end(d *file.Directory, err error) (string, error) {
	if err != nil {
		t.line("failed", plain(err))
	} else {
		t.line("done", "")
	}
	return d.WriteTranscript(t.step, t.now(), []byte(t.b.String()))
}

// attributesOf are what a CA certificate says that a signer answers for, in order.
// Of a wish nothing is known of its time.
func attributesOf(c *x509.Certificate, wish bool) []string {
	facts := inspect.Describe("", inspect.Object{Kind: inspect.KindCertificate, DER: c.Raw, Certificate: c}, c.NotBefore).Certificate
	pathLength, from, until := "no limit", ui.NotStated, ui.NotStated
	if c.MaxPathLen > 0 || c.MaxPathLenZero {
		pathLength = fmt.Sprint(c.MaxPathLen)
	}
	if !c.IsCA {
		pathLength = ui.NotStated
	}
	if !wish {
		from, until = ui.Date(c.NotBefore), ui.Date(c.NotAfter)
	}
	permits, excludes := "all", "none"
	if n := facts.Constraints; n != nil {
		permits, excludes = orElse(namesOf(n.Permitted), permits), orElse(namesOf(n.Excluded), excludes)
	}
	return []string{facts.Subject, facts.PublicKey.Type, map[bool]string{true: "yes", false: "no"}[c.IsCA], pathLength,
		orElse(strings.Join(slices.Concat(facts.KeyUsage, facts.ExtKeyUsage), ", "), ui.NotStated),
		orElse(namesOf(facts.Names), "none"), permits, excludes, from, until}
}

// attributeNames are what attributesOf gives, by name.
var attributeNames = []string{"subject", "key", "a CA", "path length", "usages", "names", "permits", "excludes", "from", "until"}

// compared puts both sides beside each other.
func compared(asked, signed *x509.Certificate) []ui.Attribute {
	var out []ui.Attribute
	a, s := attributesOf(asked, true), attributesOf(signed, false)
	for i, name := range attributeNames {
		out = append(out, ui.Attribute{Name: name, Asked: a[i], Signed: s[i]})
	}
	return out
}

func namesOf(n inspect.Names) string {
	var all []string
	for _, side := range []struct {
		kind string
		list []string
	}{{"dns ", n.DNSNames}, {"ip ", n.IPAddresses}, {"email ", n.EmailAddresses}, {"uri ", n.URIs}, {"", n.Others}} {
		for _, s := range side.list {
			all = append(all, side.kind+orElse(s, "everything"))
		}
	}
	return strings.Join(all, ", ")
}

// keyFingerprint is the SHA-256 of a public key, as both machines show it.
func keyFingerprint(csr *x509.CertificateRequest) string {
	return ca.KeyFingerprint(csr.RawSubjectPublicKeyInfo)
}
