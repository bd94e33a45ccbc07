package inspect

import (
	"crypto/x509"
	"encoding/asn1"
)

// largeCRL is the size from which a list is read only in part: crypto/x509 takes ten
// times its size in memory.
const largeCRL = 4 << 20

// mostRevoked is how many entries are kept of such a list.
const mostRevoked = 10_000

// parseCRL reads a CRL. Of a large one the first entries are kept, to be shown; how
// many there are is counted. Who asks whether something is revoked uses ReadCRL.
func parseCRL(der []byte) (list *x509.RevocationList, entries int, err error) {
	if len(der) >= largeCRL {
		if list, entries = parseLargeCRL(der); list != nil {
			return list, entries, nil
		}
	}
	if list, err = x509.ParseRevocationList(der); err == nil {
		entries = len(list.RevokedCertificateEntries)
	}
	return list, entries, err
}

// parseLargeCRL parses the list as if it had only its first entries; nil where it is
// not of the usual form.
func parseLargeCRL(der []byte) (*x509.RevocationList, int) {
	outer, _, _ := readTLV(der)
	parts := outer.children(3)
	if len(parts) != 3 {
		return nil, 0
	}
	var short []byte
	entries := 0
	whole := parts[0].each(func(part tlv) bool {
		if first := part.child(0); !part.is(tagSequence) || len(part.full) < largeCRL/2 || !first.is(tagSequence) {
			short = append(short, part.full...)
			return len(short) < largeCRL
		}
		var kept []byte
		if !part.each(func(entry tlv) bool {
			if entries++; entries <= mostRevoked {
				kept = append(kept, entry.full...)
			}
			return entry.is(tagSequence)
		}) {
			return false
		}
		short = append(short, wrap(kept)...)
		return true
	})
	if !whole || entries == 0 {
		return nil, 0
	}
	list, err := x509.ParseRevocationList(wrap(append(append(wrap(short), parts[1].full...), parts[2].full...)))
	if err != nil {
		return nil, 0
	}
	list.Raw, list.RawTBSRevocationList = der, parts[0].full // what was signed
	return list, entries
}

// wrap puts DER into a SEQUENCE.
func wrap(der []byte) []byte {
	out, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: der})
	if err != nil {
		return nil
	}
	return out
}
