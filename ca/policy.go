package ca

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy is a profile of one's own, as it is written. NewProfile validates it.
type Policy struct {
	Name string
	// At is where it is written, such as meshpki.yaml:4, and Places where its parts are,
	// by the manifest's names of them: keyTypes, maxValidity. Refusals name them.
	At     string
	Places map[string]string
	// From is the built-in profile whose usages and lifetime are taken where nothing
	// else is said; empty is workload.
	From string
	// Usages are words of Usages.
	Usages []string
	// KeyTypes are the kinds of keys that are certified, the usual one first; none is any.
	KeyTypes []KeyType
	// Validity is how long a certificate lives when nothing else is asked, and the other
	// two how short and how long a life may be asked for; zero is no bound.
	Validity, MinValidity, MaxValidity time.Duration
	// Forbid refuses the names that it picks. Where Allow has rules, every name has to
	// be picked by one of them, whatever its type.
	Allow, Forbid []Rule
	// NoWildcards refuses DNS names with a wildcard.
	NoWildcards bool
	// SubjectFields are the attributes that a subject may have (CN, O, …); nil is any.
	// Subject is put behind what was asked for.
	SubjectFields []string
	Subject       string
	// Policies are the OIDs of certificate policies (RFC 5280, Section 4.2.1.4).
	Policies []string
	// URLs stand in the certificates instead of those of the authority; nil leaves these.
	URLs *URLs
}

// custom is a policy with what was made of it.
type custom struct {
	Policy
	policies []x509.OID
	subject  pkix.RDNSequence
}

// PolicyError says which part of a policy cannot be.
type PolicyError struct {
	Field string // as in the manifest: usages, validity, policies
	Why   string
}

func (e *PolicyError) Error() string { return e.Field + ": " + e.Why }

// RuleRefusal is a *Refusal by a rule that somebody has written, with the nearest
// thing that would pass.
type RuleRefusal struct {
	Refusal *Refusal
	Rule    string // where the rule is written
	Nearest string // a name that would pass; may be empty
}

func (e *RuleRefusal) Error() string { return e.Refusal.Error() }

// Unwrap gives the refusal.
func (e *RuleRefusal) Unwrap() error { return e.Refusal }

// NewProfile validates a policy. The error is a *PolicyError.
func NewProfile(w Policy) (Profile, error) {
	wrong := func(field, format string, args ...any) (Profile, error) {
		return Profile{}, &PolicyError{field, fmt.Sprintf(format, args...)}
	}
	if slices.Contains(ProfileNames(), w.Name) {
		return wrong("name", "%q is a built-in profile, and stays what it is: another name is needed", w.Name)
	}
	p, err := ProfileByName(w.From)
	if err != nil {
		return wrong("from", "%v", err)
	}
	p.name = w.Name
	if len(w.Usages) > 0 {
		if p.usage, p.extended, err = ParseUsages(w.Usages); err != nil {
			return wrong("usages", "%v", err)
		}
		p.rsaUsage = 0
	}
	switch {
	case p.usage&x509.KeyUsageDigitalSignature == 0:
		return wrong("usages", "without digital signature no TLS 1.3 peer takes the certificate (RFC 8446, Section 4.4.2.2)")
	case len(p.extended) == 0:
		return wrong("usages", "server auth, client auth, or another purpose is needed beside what the key does")
	}
	if w.Validity > 0 {
		p.validity = w.Validity
	} else if w.MaxValidity > 0 {
		p.validity = min(p.validity, w.MaxValidity)
	}
	if w.MaxValidity > 0 && max(p.validity, w.MinValidity) > w.MaxValidity {
		return wrong("maxValidity", "%s is less than the profile's own validity or its least", Lifetime(w.MaxValidity))
	}
	if p.validity < w.MinValidity {
		return wrong("minValidity", "%s is more than the profile's own validity, %s", Lifetime(w.MinValidity), Lifetime(p.validity))
	}
	p.own, err = newCustom(w)
	return p, err
}

func newCustom(w Policy) (*custom, error) {
	c := &custom{Policy: w}
	for _, list := range []struct {
		field string
		rules []Rule
	}{{"allow", w.Allow}, {"forbid", w.Forbid}} {
		for i, r := range list.rules {
			if err := r.Validate(); err != nil {
				return nil, &PolicyError{fmt.Sprintf("%s[%d]", list.field, i), err.Error()}
			}
		}
	}
	for _, kt := range w.KeyTypes {
		if _, err := ParseKeyType(string(kt)); err != nil || kt == "" {
			return nil, &PolicyError{"keyTypes", fmt.Sprintf("%q is no kind of key", string(kt))}
		}
	}
	for _, f := range w.SubjectFields {
		if _, ok := attributes[f]; !ok {
			return nil, &PolicyError{"subject.fields", fmt.Sprintf("%s is no attribute: CN, O, OU, C, ST, L are", quoteShort(f))}
		}
	}
	var err error
	if w.Subject != "" {
		if c.subject, err = ParseDN(w.Subject); err != nil {
			return nil, &PolicyError{"subject.add", err.Error()}
		}
		if (Identity{subject: c.subject}).CommonName() != "" {
			return nil, &PolicyError{"subject.add", "a common name is each service's own"}
		}
	}
	for _, s := range w.Policies {
		oid, err := x509.ParseOID(s)
		if err != nil || len(s) > 128 {
			return nil, &PolicyError{"policies", fmt.Sprintf("%s is no object identifier: 1.3.6.1.4.1.99999.1 would be (RFC 5280, Section 4.2.1.4)", quoteShort(s))}
		}
		if slices.ContainsFunc(c.policies, oid.Equal) {
			return nil, &PolicyError{"policies", fmt.Sprintf("%s stands twice (RFC 5280, Section 4.2.1.4)", s)}
		}
		c.policies = append(c.policies, oid)
	}
	if w.URLs != nil {
		if err := w.URLs.Validate(); err != nil {
			return nil, &PolicyError{"urls", err.Error()}
		}
	}
	return c, nil
}

// Own is the policy of a profile of one's own; nil for a built-in one.
func (p Profile) Own() *Policy {
	if p.own == nil {
		return nil
	}
	w := p.own.Policy
	return &w
}

// Where is where the profile is written; "" for a built-in one.
func (p Profile) Where() string {
	if p.own == nil {
		return ""
	}
	return p.own.At
}

// place is where a part of the profile is written.
func (c *custom) place(part string) string { return cmp.Or(c.Places[part], c.At) }

// KeyType is the kind of key that the profile asks for where nothing else is said.
func (p Profile) KeyType() KeyType {
	if p.own == nil || len(p.own.KeyTypes) == 0 {
		return ECP256
	}
	return p.own.KeyTypes[0]
}

// Form is a digest of what a profile of one's own puts into certificates: usages,
// subject, policies, URLs. It is "" for a built-in one. Where it changes,
// certificates have to be made anew; where a rule does, they need not be.
func (p Profile) Form() string {
	if p.own == nil {
		return ""
	}
	// Texts, numbers and lists of them are always JSON.
	data, _ := json.Marshal([]any{p.usage, p.rsaUsage, p.extended, p.own.Subject, p.own.Policies, p.own.URLs})
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// policies are the certificate policies of the profile.
func (p Profile) policies() []x509.OID {
	if p.own == nil {
		return nil
	}
	return p.own.policies
}

// Dress puts into an identity what the profile adds to each subject, unless the
// identity has no subject or has those attributes already.
func (p Profile) Dress(id Identity) Identity {
	if p.own == nil || len(p.own.subject) == 0 || len(id.subject) == 0 {
		return id
	}
	dressed := cloneSubject(p.own.subject)
	dressed = slices.DeleteFunc(dressed, func(rdn pkix.RelativeDistinguishedNameSET) bool {
		return slices.ContainsFunc(id.subject, func(have pkix.RelativeDistinguishedNameSET) bool {
			return slices.ContainsFunc(have, func(a pkix.AttributeTypeAndValue) bool {
				return slices.ContainsFunc(rdn, func(b pkix.AttributeTypeAndValue) bool { return a.Type.Equal(b.Type) })
			})
		})
	})
	id.subject = append(dressed, cloneSubject(id.subject)...)
	return id
}

// Check holds what is asked for against the rules of the profile: every name, the
// subject, the key and the lifetime. What one of them is against is a *RuleRefusal.
func (p Profile) Check(id Identity, kt KeyType, life time.Duration) error {
	if p.own == nil {
		return nil
	}
	for _, n := range id.Names() {
		if err := p.Judge(n); err != nil {
			return err
		}
	}
	if err := p.checkSubject(id); err != nil {
		return err
	}
	if len(p.own.KeyTypes) > 0 && !slices.Contains(p.own.KeyTypes, kt) {
		return p.refuse("keyTypes", "a key of type "+string(kt), fmt.Sprintf("certifies keys of type %s only", joinTypes(p.own.KeyTypes)), string(p.own.KeyTypes[0]))
	}
	return p.checkLife(life)
}

func joinTypes(types []KeyType) string {
	var names []string
	for _, kt := range types {
		names = append(names, string(kt))
	}
	return strings.Join(names, ", ")
}

// checkLife lets pass what a second more or less makes.
func (p Profile) checkLife(life time.Duration) error {
	const slack = 2 * time.Second
	switch {
	case p.own.MaxValidity > 0 && life > p.own.MaxValidity+slack:
		return p.refuse("maxValidity", "a life of "+Lifetime(life), "certifies for "+Lifetime(p.own.MaxValidity)+" at the longest", Lifetime(p.own.MaxValidity))
	case life < p.own.MinValidity-slack:
		return p.refuse("minValidity", "a life of "+Lifetime(life), "certifies for "+Lifetime(p.own.MinValidity)+" at the shortest", Lifetime(p.own.MinValidity))
	}
	return nil
}

// Lifetime writes a duration in days where it is whole days: 30d, 36h0m0s.
func Lifetime(d time.Duration) string {
	if d = d.Round(time.Second); d%day == 0 && d != 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

func (p Profile) checkSubject(id Identity) error {
	if p.own.SubjectFields == nil {
		return nil
	}
	var refused string
	var rest pkix.RDNSequence
	for _, rdn := range id.subject {
		i := slices.IndexFunc(rdn, func(a pkix.AttributeTypeAndValue) bool { return !p.takes(a) })
		switch {
		case i < 0:
			rest = append(rest, rdn)
		case refused == "":
			refused = attributeName(rdn[i])
		}
	}
	if refused == "" {
		return nil
	}
	return p.refuse("subject", "the subject's "+refused, "lets a subject have "+orNothing(strings.Join(p.own.SubjectFields, ", ")), rest.String())
}

// takes tells whether a subject may have an attribute.
func (p Profile) takes(a pkix.AttributeTypeAndValue) bool {
	known := slices.ContainsFunc(p.own.SubjectFields, func(f string) bool { return attributes[f].Equal(a.Type) })
	return known || slices.ContainsFunc(p.own.subject, func(o pkix.RelativeDistinguishedNameSET) bool {
		return slices.ContainsFunc(o, func(b pkix.AttributeTypeAndValue) bool { return a.Type.Equal(b.Type) && a.Value == b.Value })
	})
}

func orNothing(s string) string {
	if s == "" {
		return "nothing in it"
	}
	return s + " only"
}

func attributeName(a pkix.AttributeTypeAndValue) string {
	for name, oid := range attributes {
		if oid.Equal(a.Type) {
			return name
		}
	}
	return a.Type.String()
}

// refuse is a refusal by a part of the profile that is no rule of a list.
func (p Profile) refuse(part, what, why, nearest string) error {
	at := p.own.place(part)
	why = fmt.Sprintf("profile %s %s (%s)", p.name, why, at)
	if nearest != "" {
		why += "; " + nearest + " would pass"
	}
	return &RuleRefusal{&Refusal{What: what, Why: why}, at, nearest}
}

// Judge asks the rules of the profile about a name. What one of them is against is a
// *RuleRefusal, which names the rule and the nearest name that would pass.
func (p Profile) Judge(n Name) error {
	if p.own == nil {
		return nil
	}
	err := p.judge(n)
	if err == nil {
		return nil
	}
	refusal, ok := errors.AsType[*RuleRefusal](err)
	if ok {
		if refusal.Nearest = p.Nearest(n); refusal.Nearest != "" {
			refusal.Refusal.Why += "; " + refusal.Nearest + " would pass"
		}
	}
	return err
}

func (p Profile) judge(n Name) error {
	c := p.own
	no := func(why, at string) error {
		return &RuleRefusal{Refusal: &Refusal{What: n.String(), Why: fmt.Sprintf("profile %s %s (%s)", p.name, why, at)}, Rule: at}
	}
	if n.Type == CommonName && !c.speaksOf(n) {
		if dnsProblem(n.Value) != "" {
			return nil
		}
		// Verifiers that find no DNS name may take it for one.
		n = Name{DNS, n.Value}
		no = func(why, at string) error {
			return &RuleRefusal{Refusal: &Refusal{What: Name{CommonName, n.Value}.String(), Why: fmt.Sprintf("profile %s %s, and some verifiers take it for a host name (%s)", p.name, why, at)}, Rule: at}
		}
	}
	if c.NoWildcards && n.Type == DNS && strings.HasPrefix(n.Value, "*") {
		return no("certifies no wildcards", c.place("noWildcards"))
	}
	for _, r := range c.Forbid {
		if r.picks(n, true) {
			return no("forbids "+r.String(), r.At)
		}
	}
	if len(c.Allow) == 0 {
		return nil
	}
	var near []Rule
	for _, r := range c.Allow {
		if r.picks(n, false) {
			return nil
		}
		if r.concerns(n) {
			near = append(near, r)
		}
	}
	if len(near) == 0 {
		if n.Type == CommonName {
			return nil
		}
		return no("allows no names of this type", c.Allow[0].At)
	}
	var texts, places []string
	for _, r := range near[:min(len(near), 3)] {
		texts, places = append(texts, r.String()), append(places, r.At)
	}
	if len(near) > 3 {
		texts = append(texts, fmt.Sprintf("%d more", len(near)-3))
	}
	return no("allows only "+strings.Join(texts, ", "), strings.Join(places, ", "))
}

// speaksOf tells whether some rule is about names of that type.
func (c *custom) speaksOf(n Name) bool {
	about := func(r Rule) bool { return r.concerns(n) }
	return slices.ContainsFunc(c.Allow, about) || slices.ContainsFunc(c.Forbid, about)
}
