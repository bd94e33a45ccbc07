package ca

import (
	"net/netip"
	"slices"
	"strings"
)

// mostTried bounds the names that are tried for the nearest one.
const mostTried = 512

// Nearest is the name nearest to one that the profile refuses that it would take; ""
// where none is at hand. It is advice: what is asked of it is judged again.
func (p Profile) Nearest(n Name) string {
	if p.own == nil {
		return ""
	}
	var tries []string
	for _, r := range p.own.Allow {
		tries = append(tries, r.toward(n)...)
	}
	for _, r := range p.own.Forbid {
		tries = append(tries, r.away(n)...)
	}
	tries = append(tries, shorter(n)...)
	best, distance := "", -1
	for _, s := range tries[:min(len(tries), mostTried)] {
		if s == n.Value || !wellFormed(Name{n.Type, s}) || p.judge(Name{n.Type, s}) != nil {
			continue
		}
		d := editDistance(s, n.Value)
		// An ID of as many segments is of the same form.
		if slashes := strings.Count(s, "/") - strings.Count(n.Value, "/"); slashes != 0 {
			d += len(n.Value)
		}
		if n.Type == DNS && strings.Count(s, ".") > strings.Count(n.Value, ".") {
			d += 10
		}
		if first, _, _ := strings.Cut(n.Value, "."); !strings.HasPrefix(s, first) {
			d += 8 // what is before the first dot is mostly the very service
		}
		if distance < 0 || d < distance {
			best, distance = s, d
		}
	}
	return best
}

// wellFormed tells whether a text is a name of its type.
func wellFormed(n Name) bool {
	switch n.Type {
	case DNS:
		return dnsProblem(n.Value) == ""
	case IP:
		_, err := netip.ParseAddr(n.Value)
		return err == nil
	case Email:
		return emailProblem(n.Value) == ""
	case URI:
		_, err := parseURI(n.Value)
		return err == nil
	}
	return commonNameProblem(n.Value) == ""
}

// toward are names that the rule picks and that keep something of n.
func (r Rule) toward(n Name) (out []string) {
	if !r.concerns(n) && !(n.Type == CommonName && (r.Kind == RuleDNS || r.Kind == RuleDNSGlob)) {
		return nil
	}
	switch r.Kind {
	case RuleDNS:
		bare := strings.TrimPrefix(r.Pattern, ".")
		labels := strings.Split(n.Value, ".")
		for i := range labels {
			out = append(out, strings.Join(labels[:i+1], ".")+"."+bare)
		}
		return append(out, bare)
	case RuleDNSGlob:
		return globToward(strings.Split(r.Pattern, "."), strings.Split(n.Value, "."))
	case RuleIP:
		return addressToward(r.Pattern, n.Value)
	case RuleSPIFFE:
		return segmentsToward(strings.TrimSuffix(r.Pattern, "/"), n.Value)
	case RuleURI:
		return uriToward(r.Pattern, n.Value)
	case RuleEmail:
		mailbox, host, _ := strings.Cut(n.Value, "@")
		if strings.Contains(r.Pattern, "@") {
			return []string{r.Pattern}
		}
		first, _, _ := strings.Cut(host, ".")
		return []string{mailbox + "@" + r.Pattern, mailbox + "@" + first + r.Pattern}
	case RuleCommonName:
		return []string{strings.Replace(r.Pattern, "*", n.Value, 1), r.Pattern}
	}
	return nil
}

// globToward fills the signs of a pattern with what stands there in a name.
func globToward(pattern, name []string) (out []string) {
	more := max(1, len(name)-len(pattern)+1) // labels for a **
	for _, fill := range append([]string{""}, name...) {
		var labels []string
		at := 0
		for _, p := range pattern {
			have := fill
			if have == "" {
				have = name[min(at, len(name)-1)]
			}
			switch {
			case p == "**":
				labels = append(labels, name[min(at, len(name)-1):min(at+more, len(name))]...)
				at += more
				continue
			case p == "*":
				labels = append(labels, have)
			case strings.Contains(p, "*"):
				before, after, _ := strings.Cut(p, "*")
				have = strings.TrimSuffix(strings.TrimPrefix(have, before), after)
				labels = append(labels, before+have+strings.ReplaceAll(after, "*", ""))
			default:
				labels = append(labels, p)
			}
			at++
		}
		out = append(out, strings.Join(labels, "."))
	}
	return out
}

// addressToward is the address within a range that has the host's part of another.
func addressToward(pattern, value string) []string {
	p, err := prefixOf(pattern)
	a, addrErr := netip.ParseAddr(value)
	if err != nil || addrErr != nil || p.Addr().BitLen() != a.Unmap().BitLen() {
		return nil
	}
	return []string{moved(p, a).String(), p.Addr().String()}
}

// moved is the address of a range that has the host's part of another.
func moved(p netip.Prefix, a netip.Addr) netip.Addr {
	octets, host := p.Addr().AsSlice(), a.Unmap().AsSlice()
	for i := range octets {
		mine := min(max(8*(i+1)-p.Bits(), 0), 8)
		octets[i] |= host[i] & byte(1<<mine-1)
	}
	out, _ := netip.AddrFromSlice(octets)
	return out
}

// uriToward fills the signs of a pattern with what stands between the slashes of a URI.
func uriToward(pattern, value string) (out []string) {
	const whole = "\x00" // not in any pattern of URIs
	pattern = strings.ReplaceAll(pattern, "**", whole)
	segments := strings.Split(value, "/")
	for i := range segments {
		one := strings.ReplaceAll(pattern, "*", segments[i])
		out = append(out, strings.ReplaceAll(one, whole, segments[i]), strings.ReplaceAll(one, whole, strings.Join(segments[i:], "/")))
	}
	return out
}

// away are names that a rule which forbids does not pick, and that keep something of n.
func (r Rule) away(n Name) []string {
	if !r.concerns(n) {
		return nil
	}
	switch r.Kind {
	case RuleIP:
		return addressAway(r.Pattern, n.Value)
	case RuleEmail:
		mailbox, host, _ := strings.Cut(n.Value, "@")
		if _, above, found := strings.Cut(host, "."); found && strings.Contains(above, ".") {
			return []string{mailbox + "@" + above}
		}
	case RuleSPIFFE, RuleURI:
		return segmentsAway(r.Pattern, n.Value)
	case RuleCommonName:
		rest := strings.ToLower(n.Value)
		for part := range strings.SplitSeq(strings.ToLower(r.Pattern), "*") {
			rest = strings.Replace(rest, part, "", 1)
		}
		return []string{strings.Trim(rest, " -_.")}
	}
	return nil
}

// addressAway are the addresses on both sides of a range: those that have the host's
// part of another, and those next to it.
func addressAway(pattern, value string) (out []string) {
	p, err := prefixOf(pattern)
	a, addrErr := netip.ParseAddr(value)
	if err != nil || addrErr != nil || p.Addr().BitLen() != a.Unmap().BitLen() {
		return nil
	}
	first, last := ends(p)
	for _, next := range []netip.Addr{last.Next(), first.Prev()} {
		if beside, err := next.Prefix(p.Bits()); err == nil {
			out = append(out, moved(beside, a).String(), next.String())
		}
	}
	return out
}

// segmentsAway are a URI without one of its segments, and an ID in namespace default
// where the namespace is what is forbidden.
func segmentsAway(pattern, value string) (out []string) {
	have, below := strings.Split(value, "/"), strings.Split(strings.TrimSuffix(pattern, "/"), "/")
	if at := len(below) - 1; at > 3 && len(have) > at && below[at-1] == "ns" {
		moved := slices.Clone(have)
		moved[at] = "default"
		out = append(out, strings.Join(moved, "/"))
	}
	for i := 3; i < len(have); i++ {
		out = append(out, strings.Join(slices.Delete(slices.Clone(have), i, i+1), "/"))
	}
	return out
}

// segmentsToward puts the segments of an ID below another.
func segmentsToward(below, value string) (out []string) {
	have, want := strings.Split(value, "/"), strings.Split(below, "/")
	out = append(out, below)
	for i := range have {
		if i >= 3 {
			out = append(out, below+"/"+strings.Join(have[i:], "/"))
		}
	}
	if len(have) > len(want) {
		out = append(out, strings.Join(slices.Concat(want, have[len(want):]), "/"))
	}
	return out
}

// shorter are a name with one of its labels left out, or two, for what is forbidden.
func shorter(n Name) (out []string) {
	if n.Type != DNS && n.Type != CommonName {
		return nil
	}
	labels := strings.Split(n.Value, ".")
	for _, fewer := range []int{1, 2} {
		for i := range len(labels) - fewer + 1 {
			out = append(out, strings.Join(slices.Delete(slices.Clone(labels), i, i+fewer), "."))
		}
	}
	return out
}

// editDistance is the least number of characters to be put in, left out or changed.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, last+1, row[j]+1)
		}
	}
	return row[len(b)]
}
