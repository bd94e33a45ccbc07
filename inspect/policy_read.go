package inspect

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// policyNode is what a certificate says about policies (RFC 5280, Sections
// 4.2.1.4, 4.2.1.5, 4.2.1.11 and 4.2.1.14). Policies are OIDs in their DER.
type policyNode struct {
	has           bool     // it has certificate policies
	list          []string // without anyPolicy
	any           bool
	mappings      []policyMapping
	anyMapped     bool   // a mapping from or to anyPolicy, which must not be
	explicit      int    // requireExplicitPolicy, -1 for none
	inhibitMap    int    // inhibitPolicyMapping, -1 for none
	inhibitAnyFor int    // inhibitAnyPolicy, -1 for none
	qualifier     string // the first that is not understood, as an OID
}

type policyMapping struct{ issuer, subject string }

var noPolicies = policyNode{explicit: -1, inhibitMap: -1, inhibitAnyFor: -1}

// anyPolicy is 2.5.29.32.0.
const anyPolicy = "\x55\x1d\x20\x00"

func readPolicies(n *node, value []byte) error {
	input := cryptobyte.String(value)
	var list cryptobyte.String
	if !input.ReadASN1(&list, cbasn1.SEQUENCE) || !input.Empty() || list.Empty() {
		return errors.New("it is no list of policies, or an empty one")
	}
	n.policies.has = true
	seen := map[string]bool{}
	for !list.Empty() {
		var info, id, qualifiers cryptobyte.String
		var qualified bool
		if !list.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) ||
			!info.ReadOptionalASN1(&qualifiers, &qualified, cbasn1.SEQUENCE) || !info.Empty() ||
			qualified && !n.policies.readQualifiers(qualifiers) {
			return errors.New("it is no list of policies")
		}
		p := string(id)
		if seen[p] {
			return errors.New("it names a policy twice")
		}
		seen[p] = true
		if p == anyPolicy {
			n.policies.any = true
			continue
		}
		n.policies.list = append(n.policies.list, p)
	}
	return nil
}

// readQualifiers goes over the qualifiers of a policy: at least one, of which a pointer
// to a statement and a notice are understood, since they ask for nothing.
func (p *policyNode) readQualifiers(list cryptobyte.String) bool {
	const statement, notice = "\x2b\x06\x01\x05\x05\x07\x02\x01", "\x2b\x06\x01\x05\x05\x07\x02\x02"
	if list.Empty() {
		return false
	}
	for !list.Empty() {
		var one, id, value cryptobyte.String
		var tag cbasn1.Tag
		if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) || !one.ReadAnyASN1(&value, &tag) || !one.Empty() {
			return false
		}
		if oid := string(id); oid != statement && oid != notice && p.qualifier == "" {
			p.qualifier = dottedOID(oid)
		}
	}
	return true
}

func readMappings(n *node, value []byte) error {
	input := cryptobyte.String(value)
	var list cryptobyte.String
	if !input.ReadASN1(&list, cbasn1.SEQUENCE) || !input.Empty() || list.Empty() {
		return errors.New("it is no list of mappings, or an empty one")
	}
	for !list.Empty() {
		var pair, from, to cryptobyte.String
		if !list.ReadASN1(&pair, cbasn1.SEQUENCE) || !pair.ReadASN1(&from, cbasn1.OBJECT_IDENTIFIER) ||
			!pair.ReadASN1(&to, cbasn1.OBJECT_IDENTIFIER) || !pair.Empty() {
			return errors.New("it is no list of mappings")
		}
		m := policyMapping{string(from), string(to)}
		n.policies.anyMapped = n.policies.anyMapped || m.issuer == anyPolicy || m.subject == anyPolicy
		n.policies.mappings = append(n.policies.mappings, m)
	}
	return nil
}

func readPolicyConstraints(n *node, value []byte) error {
	input := cryptobyte.String(value)
	var outer cryptobyte.String
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !input.Empty() || outer.Empty() {
		return errors.New("it is empty, or no policy constraints")
	}
	for i, into := range []*int{&n.policies.explicit, &n.policies.inhibitMap} {
		tag := cbasn1.Tag(i).ContextSpecific()
		if !outer.PeekASN1Tag(tag) {
			continue
		}
		skip, ok := readSkip(&outer, tag)
		if !ok {
			return errors.New("a number of certificates in it is none")
		}
		*into = skip
	}
	if !outer.Empty() {
		return errors.New("something stands behind it")
	}
	return nil
}

func readInhibitAny(n *node, value []byte) error {
	input := cryptobyte.String(value)
	skip, ok := readSkip(&input, cbasn1.INTEGER)
	if !ok || !input.Empty() {
		return errors.New("its number of certificates is none")
	}
	n.policies.inhibitAnyFor = skip
	return nil
}

// readSkip reads a SkipCerts, a number not below 0; one beyond all paths is as
// good as the largest.
func readSkip(s *cryptobyte.String, tag cbasn1.Tag) (int, bool) {
	const beyond = 1 << 20
	var b cryptobyte.String
	if !s.ReadASN1(&b, tag) || len(b) == 0 || b[0]&0x80 != 0 || len(b) > 1 && b[0] == 0 && b[1]&0x80 == 0 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if n = n<<8 | int(c); n > beyond {
			return beyond, true
		}
	}
	return n, true
}
