package inspect

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// Names are the subject alternative names of a certificate or request, to the
// letter (RFC 5280, Section 4.2.1.6).
type Names struct {
	DNSNames       []string `json:"dnsNames"`
	IPAddresses    []string `json:"ipAddresses"`
	EmailAddresses []string `json:"emailAddresses"`
	URIs           []string `json:"uris"`
	Others         []string `json:"otherNames,omitempty"` // "directoryName:CN=a", "registeredID:1.2.3", "otherName:1.2.3"
}

// Count is the number of names of all types.
func (n Names) Count() int {
	return len(n.DNSNames) + len(n.IPAddresses) + len(n.EmailAddresses) + len(n.URIs) + len(n.Others)
}

// SPIFFEID is the one well-formed SPIFFE ID that these names hold, or the zero
// value: more than one URI is no identity (X509-SVID, Section 2).
func (n Names) SPIFFEID() spiffeid.ID {
	if len(n.URIs) != 1 {
		return spiffeid.ID{}
	}
	id, err := spiffeid.Parse(n.URIs[0])
	if err != nil {
		return spiffeid.ID{}
	}
	return id
}

// claimsSPIFFE tells whether any URI means to be a SPIFFE ID.
func (n Names) claimsSPIFFE() bool {
	const scheme = spiffeid.Scheme + ":"
	for _, u := range n.URIs {
		if len(u) >= len(scheme) && strings.EqualFold(u[:len(scheme)], scheme) {
			return true
		}
	}
	return false
}

// newNames is Names without a nil list: JSON says [] for none.
func newNames() Names {
	return Names{DNSNames: []string{}, IPAddresses: []string{}, EmailAddresses: []string{}, URIs: []string{}}
}

var (
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidKeyUsage        = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasic           = asn1.ObjectIdentifier{2, 5, 29, 19}
)

// extension finds an extension by its OID.
func extension(list []pkix.Extension, oid asn1.ObjectIdentifier) *pkix.Extension {
	for i := range list {
		if list[i].Id.Equal(oid) {
			return &list[i]
		}
	}
	return nil
}

// NamesOf reads the subject alternative names of a certificate from its DER: a
// URI comes as it was written, which a parsed one may not.
func NamesOf(c *x509.Certificate) Names { return altNames(c.Extensions) }

func altNames(extensions []pkix.Extension) Names {
	names := newNames()
	ext := extension(extensions, oidSubjectAltName)
	if ext == nil {
		return names
	}
	outer := elements(ext.Value, 1)
	if len(outer) == 0 {
		return names
	}
	for rest := outer[0].Bytes; len(rest) > 0; {
		var v asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &v); err != nil {
			break
		}
		names.add(v, address)
	}
	return names
}

// Tags of GeneralName (RFC 5280, Section 4.2.1.6).
const (
	tagOther      = 0
	tagEmail      = 1
	tagDNS        = 2
	tagDirectory  = 4
	tagURI        = 6
	tagIP         = 7
	tagRegistered = 8
)

// add files a GeneralName under its type; ip reads the bytes of an iPAddress,
// which differ between a name and a constraint.
func (n *Names) add(v asn1.RawValue, ip func([]byte) string) {
	if v.Class != asn1.ClassContextSpecific {
		return
	}
	switch v.Tag {
	case tagDNS:
		n.DNSNames = append(n.DNSNames, string(v.Bytes))
	case tagEmail:
		n.EmailAddresses = append(n.EmailAddresses, string(v.Bytes))
	case tagURI:
		n.URIs = append(n.URIs, string(v.Bytes))
	case tagIP:
		n.IPAddresses = append(n.IPAddresses, ip(v.Bytes))
	case tagDirectory:
		n.Others = append(n.Others, "directoryName:"+nameOr(v.Bytes))
	case tagRegistered:
		// Implicit tagging: give the bytes their own tag back.
		n.Others = append(n.Others, "registeredID:"+firstOID(append([]byte{asn1.TagOID, byte(len(v.Bytes))}, v.Bytes...)))
	case tagOther:
		n.Others = append(n.Others, "otherName:"+firstOID(v.Bytes))
	default:
		n.Others = append(n.Others, "unknown:"+hex.EncodeToString(v.Bytes))
	}
}

// address writes the bytes of an IP address.
func address(b []byte) string {
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	return "#" + hex.EncodeToString(b)
}

// network writes the address and mask of a constraint as a prefix, where it is one.
func network(b []byte) string {
	if len(b) != 8 && len(b) != 32 {
		return "#" + hex.EncodeToString(b)
	}
	half := len(b) / 2
	n := net.IPNet{IP: net.IP(b[:half]), Mask: net.IPMask(b[half:])}
	return n.String()
}

// Constraints are a CA's name constraints (RFC 5280, Section 4.2.1.10). An empty
// string stands for every name of its type.
type Constraints struct {
	Critical  bool  `json:"critical"`
	Permitted Names `json:"permitted"`
	Excluded  Names `json:"excluded"`
}

// constraintsOf reads the name constraints of a certificate, nil without any.
func constraintsOf(extensions []pkix.Extension) (*Constraints, error) {
	ext := extension(extensions, oidNameConstraints)
	if ext == nil {
		return nil, nil
	}
	c := &Constraints{Critical: ext.Critical, Permitted: newNames(), Excluded: newNames()}
	outer := elements(ext.Value, 1)
	if len(outer) == 0 {
		return nil, errors.New("not name constraints")
	}
	for _, list := range elements(outer[0].Bytes, 2) {
		names := &c.Permitted
		if list.Tag == 1 {
			names = &c.Excluded
		}
		for rest := list.Bytes; len(rest) > 0; {
			var subtree asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &subtree); err != nil {
				return nil, errors.New("not name constraints")
			}
			if base := elements(subtree.Bytes, 1); len(base) == 1 {
				names.add(base[0], network)
			}
		}
	}
	return c, nil
}
