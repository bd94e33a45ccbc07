package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// Profile is a kind of certificate of one's own. Line and Column are where it begins.
type Profile struct {
	Place `yaml:"-"`
	lines map[string]int `yaml:"-"` // where its parts are, by their keys

	From        string   `yaml:"from" of:"workload server client peer" doc:"The built-in profile whose usages and lifetime are taken where nothing else is said; without it, workload."`
	Usages      []string `yaml:"usages" is:"usage" like:"server auth" doc:"What key and certificate may be used for, in the words of cert-manager and Kubernetes."`
	KeyTypes    []string `yaml:"keyTypes" of:"ec-p256 ec-p384 ed25519 rsa-2048 rsa-3072 rsa-4096" doc:"The kinds of keys that are certified; the first is made where nothing else is asked."`
	Validity    string   `yaml:"validity" is:"validity" like:"30d" doc:"How long a certificate lives when nothing else is asked."`
	MinValidity string   `yaml:"minValidity" is:"validity" like:"1h" doc:"The shortest life that may be asked for."`
	MaxValidity string   `yaml:"maxValidity" is:"validity" like:"90d" doc:"The longest life that may be asked for."`
	Allow       []Rule   `yaml:"allow" doc:"The names that are certified: with any rule here, no others of whatever type."`
	Forbid      []Rule   `yaml:"forbid" doc:"The names that are not certified, also where allow has them."`
	NoWildcards bool     `yaml:"noWildcards" doc:"Whether DNS names with a wildcard are refused."`
	Subject     *Subject `yaml:"subject" doc:"What a subject may have and is given."`
	Policies    []string `yaml:"policies" is:"policy" like:"1.3.6.1.4.1.99999.1" doc:"The OIDs of certificate policies."`
	URLs        *URLs    `yaml:"urls" doc:"Where others learn more about these certificates, instead of the manifest's own urls."`
	Tolerate    []string `yaml:"tolerate" of:"subject usage eku notAfter notBefore" doc:"What a backend elsewhere may change of what was asked, with a warning."`
}

// Rule picks names: exactly one of its fields is set. Line and Column are where it begins.
type Rule struct {
	Place `yaml:"-"`

	DNS        string `yaml:"dns" like:"example.com" doc:"A domain with all below it; with a leading dot only what is below."`
	DNSGlob    string `yaml:"dnsGlob" like:"*.prod.svc.cluster.local" doc:"DNS names by their labels: * is any text within one, ** one label or more."`
	IP         string `yaml:"ip" like:"10.0.0.0/8" doc:"An address, or a range of them."`
	SPIFFE     string `yaml:"spiffe" like:"spiffe://cluster.local/ns/prod" doc:"A trust domain, or a SPIFFE ID, with all IDs below it."`
	URI        string `yaml:"uri" like:"kuma://kuma.io/**" doc:"URIs: * is any text without a slash, ** any text."`
	Email      string `yaml:"email" like:"example.com" doc:"A mailbox, a host, or .domain for every host below it."`
	CommonName string `yaml:"commonName" like:"payment-*" doc:"Common names: * is any text."`
}

// Subject is what a profile says of subjects.
type Subject struct {
	Fields []string `yaml:"fields" of:"CN SERIALNUMBER C L ST STREET O OU POSTALCODE DC UID" doc:"The attributes that a subject may have; without it, any."`
	Add    string   `yaml:"add" is:"subject" like:"O=Example,C=DE" doc:"What every subject is given besides."`
}

func (*Rule) choice() {}

// rule is the rule as package ca has it.
func (r *Rule) rule(file string) ca.Rule {
	at := fmt.Sprintf("%s:%d", file, r.Line)
	for kind, pattern := range map[ca.RuleKind]string{
		ca.RuleDNS: r.DNS, ca.RuleDNSGlob: r.DNSGlob, ca.RuleIP: r.IP, ca.RuleSPIFFE: r.SPIFFE,
		ca.RuleURI: r.URI, ca.RuleEmail: r.Email, ca.RuleCommonName: r.CommonName,
	} {
		if pattern != "" {
			return ca.Rule{Kind: kind, Pattern: pattern, At: at}
		}
	}
	return ca.Rule{At: at}
}

func (r *Rule) check(c cursor) *Error {
	rule := r.rule("")
	if err := rule.Validate(); err != nil {
		return c.wrong(string(rule.Kind), "%v", err)
	}
	return nil
}

func (p *Profile) check(c cursor) *Error {
	p.lines = map[string]int{}
	for _, e := range c.n.entries {
		p.lines[e.key] = e.Line
		if fields, ok := e.value.find("fields"); ok && e.key == "subject" {
			p.lines[e.key] = fields.Line
		}
	}
	for _, key := range []string{"usages", "keyTypes", "policies"} {
		if e, ok := c.n.find(key); ok && len(e.value.items) == 0 {
			return c.wrong(key, "an empty list: name some, or leave the key out")
		}
	}
	_, err := p.profile("own", "")
	wrong, ok := errors.AsType[*ca.PolicyError](err)
	if !ok {
		return nil
	}
	field, _, _ := strings.Cut(wrong.Field, ".")
	field, _, _ = strings.Cut(field, "[")
	return c.wrong(field, "%s", wrong.Why)
}

// profile makes it what package ca takes.
func (p *Profile) profile(name, file string) (ca.Profile, error) {
	w := ca.Policy{Name: name, At: fmt.Sprintf("%s:%d", file, p.Line), From: p.From, Usages: p.Usages, NoWildcards: p.NoWildcards, Policies: p.Policies}
	w.Places = map[string]string{}
	for key, line := range p.lines {
		w.Places[key] = fmt.Sprintf("%s:%d", file, line)
	}
	for _, kt := range p.KeyTypes {
		w.KeyTypes = append(w.KeyTypes, ca.KeyType(kt))
	}
	for _, d := range []struct {
		text string
		to   *time.Duration
	}{{p.Validity, &w.Validity}, {p.MinValidity, &w.MinValidity}, {p.MaxValidity, &w.MaxValidity}} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = ParseDuration(d.text); err != nil {
			return ca.Profile{}, err
		}
	}
	for i := range p.Allow {
		w.Allow = append(w.Allow, p.Allow[i].rule(file))
	}
	for i := range p.Forbid {
		w.Forbid = append(w.Forbid, p.Forbid[i].rule(file))
	}
	if s := p.Subject; s != nil {
		w.SubjectFields, w.Subject = s.Fields, s.Add
	}
	if u := p.URLs; u != nil {
		w.URLs = &ca.URLs{CRL: u.CRL, OCSP: u.OCSP, CAIssuers: u.CAIssuers}
	}
	made, err := ca.NewProfile(w)
	if err == nil && len(p.Tolerate) > 0 {
		made = made.Tolerating(p.Tolerate...)
	}
	return made, err
}

// Profile is the profile of that name: one under profiles, or a built-in one; ""
// is workload. m may be nil.
func (m *Manifest) Profile(name string) (ca.Profile, error) {
	if m != nil {
		if p, ok := m.made[name]; ok {
			return p, nil
		}
	}
	if p, err := ca.ProfileByName(name); err == nil {
		return p, nil
	}
	return ca.Profile{}, fmt.Errorf("profile %s is none of %s", quote(name), strings.Join(m.ProfileNames(), ", "))
}

// ProfileNames lists the profiles that there are, the built-in ones first. m may be nil.
func (m *Manifest) ProfileNames() []string {
	names := ca.ProfileNames()
	if m != nil {
		names = append(names, slices.Sorted(maps.Keys(m.made))...)
	}
	return names
}

// profiles makes the profiles once all of the manifest has been read, and sees that
// those that were named are there.
func (r *reader) profiles() *Error {
	if len(r.m.Profiles) > 0 {
		r.m.made = map[string]ca.Profile{}
	}
	for _, name := range slices.Sorted(maps.Keys(r.m.Profiles)) {
		p := r.m.Profiles[name]
		made, err := p.profile(name, r.m.File)
		if err != nil { // its parts have been checked, each at its place
			return r.m.Wrong(p.Place, "profiles."+name, err.Error())
		}
		r.m.made[name] = made
	}
	for _, ref := range r.named {
		if _, err := r.m.Profile(ref.name); err != nil {
			wrong := r.wrong(ref.Place, "%v", err)
			wrong.Field = ref.field
			if near := Nearest(ref.name, r.m.ProfileNames()); near != "" {
				wrong.Hint = "did you mean " + near + "?"
			}
			return wrong
		}
	}
	return nil
}

func checkProfileName(s string) string {
	if labelForm().MatchString(s) {
		return ""
	}
	return quote(s) + " is no name of a profile: lower-case letters, digits and '-' only, 1 to 63 of them"
}

func checkNewProfile(s string) string {
	if slices.Contains(ca.ProfileNames(), s) {
		return quote(s) + " is a built-in profile, and stays what it is: another name is needed"
	}
	return checkProfileName(s)
}

func checkUsage(s string) string { return said(ca.CheckUsage(s)) }

func checkOID(s string) string {
	if _, err := x509.ParseOID(s); err != nil || len(s) > 128 {
		return quote(s) + " is no object identifier: 1.3.6.1.4.1.99999.1 would be (RFC 5280, Section 4.2.1.4)"
	}
	return ""
}

func checkSubject(s string) string {
	_, err := ca.ParseDN(s)
	return said(err)
}
