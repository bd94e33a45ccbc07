package ca

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// RuleKind is how a rule of a profile picks names.
type RuleKind string

// The kinds of rules, as the manifest calls them.
const (
	RuleDNS        RuleKind = "dns"        // a domain with all below it; with a leading dot only what is below
	RuleDNSGlob    RuleKind = "dnsGlob"    // DNS names by label: * is any text within one, ** one label or more
	RuleIP         RuleKind = "ip"         // an address, or a range of them
	RuleSPIFFE     RuleKind = "spiffe"     // a trust domain, or an ID with all below it, by whole segments
	RuleURI        RuleKind = "uri"        // URIs: * is any text without a '/', ** any text
	RuleEmail      RuleKind = "email"      // a mailbox, a host, or .domain for every host below it
	RuleCommonName RuleKind = "commonName" // * is any text
)

// RuleKinds lists the kinds.
func RuleKinds() []RuleKind {
	return []RuleKind{RuleDNS, RuleDNSGlob, RuleIP, RuleSPIFFE, RuleURI, RuleEmail, RuleCommonName}
}

// Rule is a part of a profile that allows names, or forbids them.
type Rule struct {
	Kind    RuleKind
	Pattern string
	// At is where the rule is written, such as meshpki.yaml:12.
	At string
}

func (r Rule) String() string { return string(r.Kind) + " " + r.Pattern }

// maxPattern is the most bytes of a rule's pattern, and maxStars the most signs in it.
const (
	maxPattern = 512
	maxStars   = 8
)

// Validate says why a rule can pick no name, or not what it seems to pick.
func (r Rule) Validate() error {
	wrong := func(why string) error { return fmt.Errorf("rule %s %s", quoteShort(r.Pattern), why) }
	bare := strings.TrimPrefix(r.Pattern, ".")
	switch {
	case r.Pattern == "" || len(r.Pattern) > maxPattern:
		return wrong(fmt.Sprintf("must have 1 to %d bytes", maxPattern))
	case strings.Count(r.Pattern, "*") > maxStars:
		return wrong(fmt.Sprintf("has more than %d signs *", maxStars))
	}
	switch r.Kind {
	case RuleDNS:
		if dnsProblem(bare) != "" || strings.Contains(bare, "*") {
			return wrong("is no domain: example.com is it with all below it, .example.com only what is below; dnsGlob takes *")
		}
	case RuleDNSGlob:
		return r.validateGlob(wrong)
	case RuleIP:
		if _, err := prefixOf(r.Pattern); err != nil {
			return wrong("is no address and no range of them: 10.0.0.0/8 or fd00::/8 would be")
		}
	case RuleSPIFFE:
		if _, err := spiffeid.Parse(strings.TrimSuffix(r.Pattern, "/")); err != nil {
			return wrong("is no SPIFFE ID that others can be below: " + reason(err))
		}
	case RuleURI:
		if !isASCII(r.Pattern) || !strings.Contains(r.Pattern, ":") || strings.HasPrefix(r.Pattern, "*") {
			return wrong("is no pattern of URIs: it starts with their scheme, as in kuma://kuma.io/**")
		}
	case RuleEmail:
		if emailProblem(r.Pattern) != "" && (dnsProblem(bare) != "" || strings.Contains(bare, "*")) {
			return wrong("is no mailbox, host or .domain")
		}
	case RuleCommonName:
	default:
		return fmt.Errorf("rule of kind %s: there is none such", quoteShort(string(r.Kind)))
	}
	return nil
}

func (r Rule) validateGlob(wrong func(string) error) error {
	if !strings.Contains(r.Pattern, "*") {
		return wrong("has no * in it: dns is for a domain with all below it")
	}
	for label := range strings.SplitSeq(r.Pattern, ".") {
		if label != "**" && strings.Contains(label, "**") || !isLabel(strings.ReplaceAll(label, "*", "x")) {
			return wrong(`is no pattern of DNS names: labels with * in them, or ** for one label or more`)
		}
	}
	return nil
}

// reason is the cause of an error without the text that it was about.
func reason(err error) string {
	if cause := errors.Unwrap(err); cause != nil {
		return cause.Error()
	}
	return err.Error()
}

// prefixOf reads an address as a range of one, or a range.
func prefixOf(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() {
		err = errors.New("IPv4 written as IPv6")
	}
	return p.Masked(), err
}

// concerns tells whether the rule is about names of that type, so that where it
// allows some, the others are not.
func (r Rule) concerns(n Name) bool {
	switch n.Type {
	case DNS:
		return r.Kind == RuleDNS || r.Kind == RuleDNSGlob
	case IP:
		return r.Kind == RuleIP
	case Email:
		return r.Kind == RuleEmail
	case URI:
		return r.Kind == RuleSPIFFE || r.Kind == RuleURI
	case CommonName:
		return r.Kind == RuleCommonName
	}
	return false
}

// picks tells whether the rule is met by a name. widely is for what is forbidden:
// then a wildcard that covers some name that is picked is picked too.
func (r Rule) picks(n Name, widely bool) bool {
	if !r.concerns(n) {
		return false
	}
	switch r.Kind {
	case RuleDNS:
		if widely {
			return excludesDNS(r.Pattern, n.Value)
		}
		return permitsDNS(r.Pattern, n.Value)
	case RuleDNSGlob:
		name := strings.ToLower(n.Value)
		return globLabels(strings.Split(strings.ToLower(r.Pattern), "."), strings.Split(name, "."), widely)
	case RuleIP:
		p, err := prefixOf(r.Pattern)
		a, addrErr := netip.ParseAddr(n.Value)
		return err == nil && addrErr == nil && p.Contains(a.Unmap())
	case RuleSPIFFE:
		below := strings.TrimSuffix(r.Pattern, "/")
		return n.Value == below || strings.HasPrefix(n.Value, below+"/")
	case RuleURI:
		return globText(r.Pattern, n.Value, '/')
	case RuleEmail:
		if widely {
			return excludesEmail(r.Pattern, n.Value)
		}
		return permitsEmail(r.Pattern, n.Value)
	case RuleCommonName:
		return globText(strings.ReplaceAll(strings.ToLower(r.Pattern), "*", "**"), strings.ToLower(n.Value), 0)
	}
	return false
}

// globLabels holds the labels of a name against those of a pattern. widely lets the
// wildcard of a name stand for any label.
func globLabels(pattern, name []string, widely bool) bool {
	if len(pattern) == 0 || len(name) == 0 {
		return len(pattern) == len(name)
	}
	if pattern[0] == "**" {
		for taken := 1; taken <= len(name); taken++ {
			if globLabels(pattern[1:], name[taken:], false) {
				return true
			}
		}
		return false
	}
	// A label has none of the signs that path.Match gives a meaning, but for '*'.
	same, err := path.Match(pattern[0], name[0])
	return (err == nil && same || widely && name[0] == "*") && globLabels(pattern[1:], name[1:], false)
}

// globText holds a text against a pattern in which * is any text without the
// separator and ** any text.
func globText(pattern, text string, sep byte) bool {
	// reached tells up to which places of the text the pattern has been met.
	reached := make([]bool, len(text)+1)
	reached[0] = true
	for i := 0; i < len(pattern); i++ {
		next := make([]bool, len(text)+1)
		if pattern[i] != '*' {
			for at := range len(text) {
				next[at+1] = reached[at] && text[at] == pattern[i]
			}
			reached = next
			continue
		}
		whatever := strings.HasPrefix(pattern[i:], "**")
		if whatever {
			i++
		}
		for at := range next {
			next[at] = reached[at] || at > 0 && next[at-1] && (whatever || text[at-1] != sep)
		}
		reached = next
	}
	return reached[len(text)]
}
