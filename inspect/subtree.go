package inspect

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// subtrees are a CA's name constraints as paths are judged by them (RFC 5280,
// Section 4.2.1.10), by type of name.
type subtrees struct {
	permitted, excluded map[int][]generalName
	count               int
}

// readSubtrees reads name constraints strictly: what cannot be understood cannot
// be kept.
func readSubtrees(der []byte) (*subtrees, error) {
	input := cryptobyte.String(der)
	var outer cryptobyte.String
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !input.Empty() || outer.Empty() {
		return nil, errors.New("they are empty")
	}
	s := &subtrees{permitted: map[int][]generalName{}, excluded: map[int][]generalName{}}
	for i, into := range []map[int][]generalName{s.permitted, s.excluded} {
		var list cryptobyte.String
		var present bool
		if !outer.ReadOptionalASN1(&list, &present, cbasn1.Tag(i).ContextSpecific().Constructed()) {
			return nil, errGeneralName
		}
		for !list.Empty() {
			n, err := readSubtree(&list)
			if err != nil {
				return nil, err
			}
			into[n.kind] = append(into[n.kind], n)
			s.count++
		}
	}
	switch {
	case !outer.Empty():
		return nil, errors.New("something stands behind them")
	case s.count == 0:
		return nil, errors.New("they name nothing")
	}
	return s, nil
}

func readSubtree(list *cryptobyte.String) (generalName, error) {
	var tree cryptobyte.String
	if !list.ReadASN1(&tree, cbasn1.SEQUENCE) {
		return generalName{}, errGeneralName
	}
	n, err := readGeneralName(&tree)
	if err != nil {
		return n, err
	}
	// Minimum is 0, which DER leaves out, and there is no maximum.
	if !tree.Empty() {
		return n, errors.New("a subtree has a minimum or a maximum, which it must not")
	}
	switch n.kind {
	case tagIP:
		if !soundNetwork(n.ip) {
			return n, errors.New("a range of IP addresses in them is none")
		}
	case tagDNS:
		if base := strings.TrimPrefix(n.text, "."); base != "" && !soundHost(base) {
			return n, errors.New(quoted(n.text) + " in them is no DNS name")
		}
	case tagURI:
		if base := strings.TrimPrefix(n.text, "."); n.text != "" && !soundHost(base) {
			return n, errors.New(quoted(n.text) + " in them is no host of a URI")
		}
	case tagEmail:
		if !soundEmailTree(n.text) {
			return n, errors.New(quoted(n.text) + " in them is neither a mailbox nor a host")
		}
	}
	return n, nil
}

// soundNetwork tells whether bytes are an address and a mask of leading ones.
func soundNetwork(b []byte) bool {
	if len(b) != 8 && len(b) != 32 {
		return false
	}
	ended := false
	for _, octet := range b[len(b)/2:] {
		for bit := 7; bit >= 0; bit-- {
			set := octet>>bit&1 == 1
			if set && ended {
				return false
			}
			ended = ended || !set
		}
	}
	return true
}

// soundHost tells whether a name is one that can be compared label by label:
// letters, digits, '-' and '_', no empty label.
func soundHost(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// soundDNSName is soundHost with a first label that may be '*' and a last that may
// be empty.
func soundDNSName(s string) bool {
	return soundHost(strings.TrimSuffix(strings.TrimPrefix(s, "*."), "."))
}

func soundEmailTree(s string) bool {
	if s == "" {
		return true
	}
	if local, host, mailbox := cutMailbox(s); mailbox {
		return soundLocalPart(local) && soundHost(host)
	}
	return soundHost(strings.TrimPrefix(s, "."))
}

// soundLocalPart tells whether text can stand before the '@' of a mailbox: an atom
// of RFC 5321, Section 4.1.2 with dots between, or a quoted string.
func soundLocalPart(s string) bool {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return true
	}
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>[]:;@\,"`, r) })
}

func cutMailbox(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// holds tells whether a name lies in a subtree of its own type. sure is false where
// the name is such that nobody can say.
func (n generalName) holds(name generalName, excluding bool) (within, sure bool) {
	switch name.kind {
	case tagDNS:
		return dnsWithin(n.folded, name.folded, excluding)
	case tagEmail:
		return emailWithin(n.folded, name.folded)
	case tagURI:
		return uriWithin(n.folded, name.text)
	case tagIP:
		return ipWithin(n.ip, name.ip), true
	case tagDirectory:
		return directoryWithin(n.rdns, name.rdns), true
	}
	return false, false
}

// dnsWithin: adding zero or more labels on the left satisfies a constraint; one
// with a leading dot, which the standard does not have, at least one. A wildcard
// is permitted where all it stands for is, and excluded where any is.
func dnsWithin(base, name string, excluding bool) (within, sure bool) {
	if !soundDNSName(name) {
		return false, base == ""
	}
	name = strings.TrimSuffix(name, ".")
	rest, wild := strings.CutPrefix(name, "*.")
	if wild {
		name = "*." + rest
		if excluding {
			if _, parent, cut := strings.Cut(strings.TrimPrefix(base, "."), "."); cut && parent == rest {
				return base[0] != '.', true
			}
		}
	}
	return suffixWithin(base, name), true
}

func suffixWithin(base, name string) bool {
	if base == "" {
		return true
	}
	if base[0] == '.' {
		return strings.HasSuffix(name, base)
	}
	return name == base || strings.HasSuffix(name, "."+base)
}

// hostWithin is for email and URI, where only a leading dot allows subdomains.
func hostWithin(base, host string) bool {
	if base == "" {
		return true
	}
	if base[0] == '.' {
		return strings.HasSuffix(host, base)
	}
	return host == base
}

func emailWithin(base, name string) (within, sure bool) {
	local, host, ok := cutMailbox(name)
	if !ok || !soundLocalPart(local) || !soundHost(host) {
		return false, base == ""
	}
	if baseLocal, baseHost, mailbox := cutMailbox(base); mailbox {
		return local == baseLocal && host == baseHost, true
	}
	return hostWithin(base, host), true
}

// uriWithin: constraints apply to the host; a URI without one, or with an address
// in its place, cannot be judged and is refused.
func uriWithin(base, uri string) (within, sure bool) {
	host, ok := uriHost(uri)
	if !ok {
		return false, false
	}
	return hostWithin(base, lowerASCII(host)), true
}

// uriHost is the host of a URI (RFC 3986, Section 3.2.2), a registered name.
func uriHost(uri string) (string, bool) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/?#@[]") {
		return "", false
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if _, after, found := cutMailbox(rest); found {
		rest = after
	}
	host, port, ported := strings.Cut(rest, ":")
	if ported && strings.ContainsFunc(port, func(r rune) bool { return r < '0' || r > '9' }) {
		return "", false
	}
	host = strings.TrimSuffix(host, ".")
	if _, err := netip.ParseAddr(host); err == nil || !soundHost(host) {
		return "", false
	}
	return host, true
}

func ipWithin(base, ip []byte) bool {
	if len(base) != 2*len(ip) {
		return false
	}
	for i := range ip {
		if (ip[i]^base[i])&base[len(ip)+i] != 0 {
			return false
		}
	}
	return true
}

// directoryWithin: a name lies below another whose parts are its first.
func directoryWithin(base, name []string) bool {
	if len(base) > len(name) {
		return false
	}
	for i := range base {
		if base[i] != name[i] {
			return false
		}
	}
	return true
}

// sameName tells whether two names of any type are the same.
func (n generalName) sameName(other generalName) bool {
	switch {
	case n.kind != other.kind:
		return false
	case n.kind == tagDirectory:
		return len(n.rdns) == len(other.rdns) && directoryWithin(n.rdns, other.rdns)
	case n.kind == tagDNS:
		return strings.EqualFold(n.text, other.text)
	}
	return bytes.Equal(n.der, other.der)
}
