package layout

import (
	"bytes"
	"crypto/x509"
	encoding "encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// Would a mesh load its CA from files as they lie in a directory or a Secret? That is
// more than whether the CA is good: names, and what else stands in a file, count too.

// judged are the consumers whose files are judged: the name of the Secret in which
// each has its CA, and where its own rules are read from.
func judged() []struct{ consumer, secret, cites, ends string } {
	return []struct{ consumer, secret, cites, ends string }{
		{"istio", "cacerts", "Istio, pilot/pkg/bootstrap/istio_ca.go", "istiod does not start with a part of them"},
		{"linkerd", "linkerd-identity-issuer", "Linkerd, pkg/tls/codec.go", "its identity controller does not start without"},
		{"dapr", "dapr-trust-bundle", "Dapr, pkg/sentry/server/ca/kube.go", "sentry then makes a CA of its own in the place of this one"},
		{"kuma", "", "Kuma, pkg/plugins/ca/provided/manager.go", "the control plane refuses the mesh"},
		{"spire", "", "SPIRE, pkg/server/plugin/upstreamauthority/disk/disk.go", "the server does not start without"},
	}
}

func judgeRule(consumer, id, cites, title string) inspect.Rule {
	return inspect.Rule{ID: consumer + "-" + id, Severity: inspect.SeverityError, Citation: cites, Title: title}
}

func missingRule(consumer, cites, title string) inspect.Rule {
	return judgeRule(consumer, "files-missing", cites, title+" finds every file that it loads, under its name")
}

func unreadableRule(consumer, cites, title string) inspect.Rule {
	return judgeRule(consumer, "files-unreadable", cites, title+" can read its files")
}

func keyRule(consumer, cites, title string) inspect.Rule {
	return judgeRule(consumer, "key-differs", cites, title+"'s key is that of its CA")
}

// The rules that only some have, and those on a set of files that is a service's.
func otherBlockRule(consumer, cites, title string) inspect.Rule {
	return judgeRule(consumer, "pem-other-block", cites, title+" finds its certificates ahead of any block of another kind")
}

func trailingRule() inspect.Rule {
	return judgeRule("linkerd", "pem-text-behind", "Linkerd, pkg/tls/codec.go", "nothing stands behind the last certificate of a file that Linkerd loads")
}

func pairRule() inspect.Rule {
	return judgeRule("tls", "key-differs", "RFC 8446, Section 4.4.3", "tls.key is the key of the first certificate in tls.crt")
}

func rootlessRule() inspect.Rule {
	return inspect.Rule{ID: "tls-ca-without-root", Severity: inspect.SeverityWarning, Citation: "RFC 5280, Section 6.1.1", Title: "ca.crt holds a root, which whoever verifies to the end of the path needs"}
}

func unledRule() inspect.Rule {
	return judgeRule("tls", "chain-interrupted", "RFC 5280, Section 6.1", "tls.crt leads to ca.crt")
}

// JudgeRules lists the rules of Judge and JudgeService, beside those on the CA itself.
func JudgeRules() []inspect.Rule {
	var list []inspect.Rule
	for _, j := range judged() {
		c, err := ConsumerByName(j.consumer)
		if err != nil {
			continue
		}
		list = append(list, missingRule(c.Name, j.cites, c.Title), unreadableRule(c.Name, j.cites, c.Title), keyRule(c.Name, j.cites, c.Title))
		switch c.Name {
		case "linkerd":
			list = append(list, otherBlockRule(c.Name, j.cites, c.Title), trailingRule())
		case "dapr":
			list = append(list, otherBlockRule(c.Name, "Dapr, crypto/pem/pem.go of dapr/kit", c.Title))
		}
	}
	return append(list, pairRule(), rootlessRule(), unledRule())
}

// Judge tells of each mesh for which files are meant, by their names or by the name of
// the directory or Secret that they are in, whether it would load them as its CA.
func Judge(name string, f issue.Files, now time.Time) []inspect.ConsumerVerdict {
	var list []inspect.ConsumerVerdict
	for _, j := range judged() {
		c, err := ConsumerByName(j.consumer)
		if err != nil {
			continue
		}
		p, ok := c.meant(f, j.secret != "" && name == j.secret)
		if !ok {
			continue
		}
		v := inspect.ConsumerVerdict{Consumer: c.Name, As: inspect.AsIssuer, Loads: true, Findings: c.judge(p, f, j.cites, j.ends, now)}
		for _, found := range v.Findings {
			v.Loads = v.Loads && found.Severity != inspect.SeverityError
		}
		list = append(list, v)
	}
	return list
}

// meant finds the scheme that files are of: its CA is there and is one, and another of
// its files is. named says that the place has the mesh's name.
func (c Consumer) meant(f issue.Files, named bool) (parts, bool) {
	schemes := slices.Clone(c.Schemes)
	slices.SortStableFunc(schemes, func(a, b string) int { return c.parts[b].found(f) - c.parts[a].found(f) })
	p := c.parts[schemes[0]]
	if named {
		return p, true
	}
	certs, err := pemfile.Certificates(f[p.first()].Data)
	if len(certs) == 0 || err == nil && !certs[0].IsCA {
		return p, false
	}
	return p, p.found(f) > 1
}

// first is the file that has the CA first.
func (p parts) first() string {
	if p.ca != "" {
		return p.ca
	}
	return p.chain
}

// needed are the names of the files without which a consumer does not load the rest.
func (p parts) needed(c Consumer) []string {
	list := []string{p.ca, p.chain, p.key, p.roots}
	switch {
	case c.Name == "linkerd" && p.roots == "ca-bundle.crt", c.Name == "spire":
		list = list[:3] // its roots lie elsewhere, or may
	}
	return slices.DeleteFunc(list, func(name string) bool { return name == "" })
}

func (c Consumer) judge(p parts, f issue.Files, cites, ends string, now time.Time) []inspect.Finding {
	list := []inspect.Finding{}
	say := func(r inspect.Rule, message, fix string) {
		list = append(list, inspect.Finding{Rule: r.ID, Severity: r.Severity, Message: message, Citation: r.Citation, Fix: fix})
	}
	needed := p.needed(c)
	var missing []string
	for _, name := range needed {
		if f[name].Data == nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		message := "there is no " + strings.Join(missing, ", and no ") + ": " + ends
		if others := p.others(f); len(others) > 0 {
			message += "; it does not read " + strings.Join(others, ", ")
		}
		say(missingRule(c.Name, cites, c.Title), message, "name the files "+strings.Join(needed, ", ")+", or: meshpki ca export --for "+c.Name)
	}
	if f[p.first()].Data == nil {
		return list
	}
	if message := c.form(p, f); message != "" {
		rule := otherBlockRule(c.Name, cites, c.Title)
		if strings.HasSuffix(message, behindText) {
			rule = trailingRule()
		}
		say(rule, message, "write the certificates alone, and end the file with the line feed of the last END")
	}
	h, err := c.Read(f)
	if err != nil {
		say(unreadableRule(c.Name, cites, c.Title), err.Error(), "write the file again, in PEM")
		return list
	}
	h.Now = now
	if h.Key == nil && f[p.key].Data != nil {
		say(unreadableRule(c.Name, cites, c.Title), p.key+" holds no private key that can be read without a passphrase", "put the CA's key there, in PEM and not encrypted")
	}
	if h.Key != nil && !pemfile.SamePublicKey(h.Key.Public(), h.Chain[0].PublicKey) {
		say(keyRule(c.Name, cites, c.Title), p.key+" is not the key of the CA in "+p.first(), "put the CA's own key there")
	}
	for _, found := range c.Findings(h) {
		if len(h.Roots) == 0 && strings.HasSuffix(found.Rule, "-chain") && !slices.Contains(needed, p.roots) {
			continue // its roots are not here to be asked
		}
		list = append(list, found)
	}
	return list
}

// others are the files that the consumer does not look at.
func (p parts) others(f issue.Files) []string {
	var names []string
	for name := range f {
		if !slices.Contains([]string{p.ca, p.chain, p.key, p.roots, p.crl}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	const most = 4
	return names[:min(most, len(names))]
}

const behindText = "behind the last certificate"

// form judges how blocks lie in the files of those who are strict about it.
func (c Consumer) form(p parts, f issue.Files) string {
	if c.Name != "linkerd" && c.Name != "dapr" {
		return ""
	}
	for _, name := range []string{p.chain, p.roots} {
		seen := 0
		for rest := f[name].Data; len(rest) > 0; seen++ {
			block, behind := encoding.Decode(rest)
			switch {
			case block == nil && seen > 0 && c.Name == "linkerd":
				return name + ": there is something " + behindText
			case block != nil && block.Type != pemfile.TypeCertificate && bytes.Contains(behind, []byte("-----BEGIN CERTIFICATE-----")):
				return fmt.Sprintf("%s: it stops reading at a block of another kind, ahead of a certificate", name)
			}
			if block == nil {
				break
			}
			rest = behind
		}
	}
	return ""
}

// JudgeService judges the files of a service by their customary names (tls.crt, tls.key
// and ca.crt); nothing is said where they are not there, or are a CA's.
func JudgeService(f issue.Files, now time.Time) []inspect.Finding {
	chain, err := pemfile.Certificates(f["tls.crt"].Data)
	if err != nil || len(chain) == 0 || chain[0].IsCA {
		return nil
	}
	list := []inspect.Finding{}
	say := func(r inspect.Rule, message, fix string) {
		list = append(list, inspect.Finding{Rule: r.ID, Severity: r.Severity, Message: message, Citation: r.Citation, Fix: fix})
	}
	if data := f["tls.key"].Data; data != nil {
		if key, err := pemfile.ParseKey(bytes.Clone(data), nil); err == nil && !pemfile.SamePublicKey(key.Public(), chain[0].PublicKey) {
			say(pairRule(), "tls.key is not the key of the first certificate in tls.crt: no program loads the two together", "put the two that belong together here, or issue the service again")
		}
	}
	roots, err := pemfile.Certificates(f["ca.crt"].Data)
	if err != nil || len(roots) == 0 {
		return list
	}
	if !slices.ContainsFunc(roots, func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }) {
		say(rootlessRule(), "ca.crt holds no root, only CAs below one: whoever goes to the end of the path, as OpenSSL and its kin do, trusts nothing by it", "put the root into ca.crt, and the CAs below it into tls.crt")
	}
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, r := range roots {
		o.Roots.AddCert(r)
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		say(unledRule(), "tls.crt does not lead to ca.crt: "+strings.TrimPrefix(err.Error(), "x509: "), "meshpki verify tls.crt --roots ca.crt says why, and what mends it")
	}
	return list
}
