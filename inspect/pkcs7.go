package inspect

import "errors"

// Of PKCS#7 (RFC 2315; CMS, RFC 5652, Section 5.1) the certificates and CRLs of
// signed data are read: .p7b files hold them and nothing else. Nobody's signature is
// looked at, and nothing is unpacked.

const (
	oidSignedData     = "1.2.840.113549.1.7.2"
	oidEnvelopedData  = "1.2.840.113549.1.7.3"
	oidCompressedData = "1.2.840.113549.1.9.16.1.9"
)

// pkcs7Objects are the objects within a ContentInfo.
func pkcs7Objects(der []byte) []Object {
	failed := func(why string) []Object { return []Object{{Kind: KindPKCS7, Err: errors.New(why)}} }
	outer, _, ok := readTLV(der)
	if !ok {
		return failed("not well-formed PKCS#7")
	}
	switch outer.child(0).oid() {
	case oidSignedData:
	case oidEnvelopedData:
		return failed("PKCS#7 that is encrypted for somebody: it is not read")
	case oidCompressedData:
		return failed("PKCS#7 that is compressed: it is not unpacked")
	default:
		return failed("PKCS#7 of a kind that holds no certificates")
	}
	var list []Object
	whole := outer.child(1).child(0).each(func(part tlv) bool {
		switch {
		case part.isContext(0):
			return part.each(func(c tlv) bool {
				switch {
				case len(list) > mostObjects:
					return false
				case c.is(tagSequence):
					list = append(list, objectOf(KindCertificate, c.full))
				default:
					list = append(list, Object{Kind: KindOther, Label: "certificate of a kind that is not X.509"})
				}
				return true
			})
		case part.isContext(1):
			return part.each(func(c tlv) bool {
				list = append(list, objectOf(KindCRL, c.full))
				return len(list) <= mostObjects
			})
		}
		return true
	})
	switch {
	case !whole && len(list) <= mostObjects:
		list = append(list, failed("PKCS#7 that is damaged from here on")...)
	case len(list) == 0:
		return failed("PKCS#7 without a certificate or CRL in it")
	}
	return list
}
