package inspect

import (
	"errors"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// generalName is one GeneralName (RFC 5280, Section 4.2.1.6), read strictly.
type generalName struct {
	kind   int      // a tag of GeneralName
	text   string   // of dNSName, rfc822Name and URI
	folded string   // the same, without regard to case where that does not count
	ip     []byte   // of iPAddress
	rdns   []string // of directoryName, canonical
	der    []byte   // its content
}

var errGeneralName = errors.New("a name in it is not written as a GeneralName is")

// Tags of GeneralName beside those of names.go.
const (
	tagX400 = 3
	tagEDI  = 5
)

// generalNameKinds are the types as a person knows them.
var generalNameKinds = map[int]string{
	tagOther: "other name", tagEmail: "email address", tagDNS: "DNS name", tagX400: "X.400 address", tagDirectory: "directory name",
	tagEDI: "EDI party name", tagURI: "URI", tagIP: "IP address", tagRegistered: "registered ID",
}

// String is the name as a sentence has it.
func (n generalName) String() string {
	switch n.kind {
	case tagIP:
		return address(n.ip)
	case tagDirectory:
		return nameOr(n.der)
	case tagDNS, tagEmail, tagURI:
		return n.text
	}
	return generalNameKinds[n.kind]
}

// readGeneralNames reads a SEQUENCE OF GeneralName: at least one.
func readGeneralNames(der []byte) ([]generalName, error) {
	input := cryptobyte.String(der)
	var list cryptobyte.String
	if !input.ReadASN1(&list, cbasn1.SEQUENCE) || !input.Empty() || list.Empty() {
		return nil, errors.New("it is no list of names, or an empty one")
	}
	return readNameList(list)
}

// readNameList reads the names of a list whose own header is gone.
func readNameList(list cryptobyte.String) ([]generalName, error) {
	var names []generalName
	for !list.Empty() {
		n, err := readGeneralName(&list)
		if err != nil {
			return nil, err
		}
		if n.kind == tagIP && len(n.ip) != 4 && len(n.ip) != 16 {
			return nil, errors.New("an IP address in it has neither 4 nor 16 octets")
		}
		names = append(names, n)
	}
	return names, nil
}

// readGeneralName takes one name off a list; an IP address may have any length.
func readGeneralName(list *cryptobyte.String) (generalName, error) {
	var value cryptobyte.String
	var tag cbasn1.Tag
	const class, constructed, number = 0xc0, 0x20, 0x1f
	if !list.ReadAnyASN1(&value, &tag) || tag&class != 0x80 || tag&number > tagRegistered {
		return generalName{}, errGeneralName
	}
	n := generalName{kind: int(tag & number), der: value}
	compound := n.kind == tagOther || n.kind == tagX400 || n.kind == tagDirectory || n.kind == tagEDI
	if compound != (tag&constructed != 0) {
		return generalName{}, errGeneralName
	}
	switch n.kind {
	case tagDNS, tagEmail, tagURI:
		if n.text = string(value); strings.ContainsFunc(n.text, func(r rune) bool { return r > 0x7f }) {
			return generalName{}, errors.New("a name in it has characters beyond ASCII")
		}
		n.folded = foldName(n.kind, n.text)
	case tagIP:
		n.ip = value
	case tagDirectory:
		var ok bool
		if n.rdns, ok = canonicalRDNs(value); !ok {
			return generalName{}, errGeneralName
		}
	}
	return n, nil
}

// foldName is a name with its host in lower case; what stands before the '@' of a
// mailbox counts to the letter (RFC 5280, Section 7.5).
func foldName(kind int, text string) string {
	if local, host, ok := cutMailbox(text); kind == tagEmail && ok {
		return local + "@" + lowerASCII(host)
	}
	return lowerASCII(text)
}
