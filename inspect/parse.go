package inspect

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
)

// ErrNothingFound is what Parse's errors wrap.
var ErrNothingFound = errors.New("no certificate, request, CRL or key in it")

// ParseOptions say how to read what cannot be read without being told.
type ParseOptions struct {
	// Password opens PKCS#12, JKS and JCEKS; nil is none, for which the customary ones
	// are tried.
	Password []byte
}

// mostObjects is how many objects are read of one source. A few bytes can claim to be
// one, and each takes memory.
const mostObjects = 25_000

// Parse reads every object of a source; see ParseOptions.Parse.
func Parse(data []byte) ([]Object, error) { return ParseOptions{}.Parse(data) }

// Parse reads every object of a source: PEM blocks with any text around them; DER, one
// object after the other; PKCS#7; PKCS#12, JKS and JCEKS; a SPIFFE bundle; Kubernetes
// Secrets and ConfigMaps in YAML or JSON. An object that was found and cannot be read
// stands in the list with its Err and hides no other. The error wraps ErrNothingFound:
// there is none at all. Time and memory grow with the size of data alone, within bounds
// of their own for what hashes a password; the caller bounds the size.
func (o ParseOptions) Parse(data []byte) ([]Object, error) {
	objects, err := o.parse(data, 0)
	if err != nil {
		return nil, err
	}
	if len(objects) > mostObjects {
		err := fmt.Errorf("there are more than %d objects: the rest is not read", mostObjects)
		objects = append(objects[:mostObjects:mostObjects], Object{Kind: KindOther, Err: err})
	}
	for i := range objects {
		objects[i].Index = i + 1
	}
	return objects, nil
}

// parse reads a source, or a value within a document.
func (o ParseOptions) parse(data []byte, depth int) ([]Object, error) {
	switch {
	case isJavaStore(data):
		return javaObjects(data, o), nil
	case depth < deepestDocument && isDocument(data):
		return o.document(data, depth)
	case hasPEM(data):
		return o.parsePEM(data), nil
	}
	return o.parseDER(data)
}

// parseDER reads DER objects one after the other.
func (o ParseOptions) parseDER(data []byte) ([]Object, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrNothingFound)
	}
	var objects []Object
	for rest := data; len(rest) > 0 && len(objects) <= mostObjects; {
		n, err := derSize(rest)
		if err != nil {
			if len(objects) == 0 {
				return nil, fmt.Errorf("%w: %w", ErrNothingFound, err)
			}
			if len(bytes.Trim(rest, "\x00\r\n\t ")) > 0 {
				objects = append(objects, Object{Kind: KindOther, Err: fmt.Errorf("%d bytes behind the last object: %w", len(rest), err)})
			}
			break
		}
		kind := shape(rest[:n])
		if kind == KindOther && len(objects) == 0 {
			return nil, fmt.Errorf("%w: it is DER, but of something else", ErrNothingFound)
		}
		objects = append(objects, o.objectsOf(kind, rest[:n])...)
		rest = rest[n:]
	}
	return objects, nil
}

// derSize is the length in bytes of the SEQUENCE that data starts with.
func derSize(data []byte) (int, error) {
	if data[0] != 0x30 {
		return 0, errors.New("it is neither PEM (a line that starts with -----BEGIN) nor DER")
	}
	if len(data) < 2 {
		return 0, errors.New("it is DER that is cut off after 1 byte")
	}
	if t, _, ok := readTLV(data); ok {
		return len(t.full), nil
	}
	head, size := 2, int(data[1])
	if size >= 0x80 {
		digits := size & 0x7f
		if digits == 0 || digits > 4 {
			return 0, errors.New("it looks like DER, and its length is not written as DER has it")
		}
		if len(data) < 2+digits {
			return 0, fmt.Errorf("it is DER that is cut off after %d bytes", len(data))
		}
		head, size = 2+digits, 0
		for _, b := range data[2:head] {
			size = size<<8 | int(b)
		}
	}
	return 0, fmt.Errorf("it is DER that is cut off: %d bytes of %d", len(data), head+size)
}

// objectsOf parses DER as that kind of object, or as what may hold several.
func (o ParseOptions) objectsOf(kind Kind, der []byte) []Object {
	switch kind {
	case KindKeystore:
		return pkcs12Objects(der, o)
	case KindPKCS7:
		return pkcs7Objects(der)
	case KindOCSP:
		facts, certs, err := ocspFacts(der)
		list := []Object{{Kind: KindOCSP, DER: der, OCSP: facts}}
		if err != nil {
			list[0].OCSP, list[0].DamagedOCSP, list[0].Err = nil, facts, err
		}
		for _, c := range certs {
			list = append(list, objectOf(KindCertificate, c.full))
		}
		return list
	}
	return []Object{objectOf(kind, der)}
}

// objectOf parses DER as that kind of object. der is not kept if it is a key.
func objectOf(kind Kind, der []byte) Object {
	o := Object{Kind: kind}
	switch kind {
	case KindCertificate:
		o.Certificate, o.Err = ReadCertificate(der)
	case KindRequest:
		o.Request, o.Err = x509.ParseCertificateRequest(der)
	case KindCRL:
		o.CRL, o.CRLEntries, o.Err = parseCRL(der)
	case KindPublicKey:
		o.PublicKey, o.Err = x509.ParsePKIXPublicKey(der)
	case KindKey:
		o.PublicKey, o.Encrypted, o.Err = publicHalf(der)
		return o
	}
	o.DER = der
	if o.Err != nil {
		o.Err = parseError(kind, der, o.Err)
		o.Certificate, o.Request, o.CRL, o.PublicKey = nil, nil, nil, nil
		o.CRLEntries = 0
		if is := shape(der); is == kind || is == KindOther {
			o.readDamaged(der)
		}
	}
	return o
}

// readDamaged reads what can be read of what was refused.
func (o *Object) readDamaged(der []byte) {
	switch o.Kind {
	case KindCertificate:
		o.Damaged = damaged(der)
	case KindRequest:
		o.DamagedRequest = damagedRequest(der)
	case KindCRL:
		o.DamagedCRL, o.CRLEntries = damagedCRL(der)
	}
}

// parseError puts a parser's complaint into words.
func parseError(kind Kind, der []byte, err error) error {
	if is := shape(der); is != kind && is != KindOther {
		return fmt.Errorf("it is called a %s and is a %s", kind, is)
	}
	why := strings.TrimPrefix(err.Error(), "x509: ")
	if _, rest, found := strings.Cut(why, "asn1: "); found {
		// The rest of such an error speaks of the parser's own structures.
		_, why, _ = strings.Cut(rest, "error: ")
		why, _, _ = strings.Cut(why, "(")
		why = "its ASN.1 is wrong: " + strings.TrimSpace(why)
	}
	return fmt.Errorf("not a well-formed %s: %s", kind, why)
}

// String is the kind as a person says it.
func (k Kind) String() string {
	switch k {
	case KindRequest:
		return "certificate request"
	case KindCRL:
		return "CRL"
	case KindKey:
		return "private key"
	case KindPublicKey:
		return "public key"
	case KindOCSP:
		return "OCSP response"
	case KindKeystore:
		return "keystore"
	case KindPKCS7:
		return "PKCS#7 bundle"
	case KindDocument:
		return "document"
	case KindEndpoint:
		return "server"
	case KindSet:
		return "set of files"
	case KindOther:
		return "block of another kind"
	}
	return "certificate"
}

// shape tells from the outermost elements of DER what it is meant to be.
func shape(der []byte) Kind {
	outer, _, ok := readTLV(der)
	if !ok || !outer.is(tagSequence) {
		return KindOther
	}
	e := outer.children(6)
	starts := func(tags ...int) bool {
		for i, tag := range tags {
			if i >= len(e) || !e[i].is(tag) {
				return false
			}
		}
		return true
	}
	switch {
	case starts(tagSequence, tagSequence, tagBitString):
		return signedShape(e[0])
	case len(e) == 2 && starts(tagSequence, tagBitString):
		return KindPublicKey
	case len(e) == 2 && starts(tagSequence, tagOctets):
		return KindKey // encrypted
	case starts(tagInteger, tagOctets):
		return KindKey // SEC 1
	case starts(tagInteger, tagSequence, tagOctets):
		return KindKey // PKCS#8
	case starts(tagInteger, tagInteger) && len(e) > 3:
		return KindKey // PKCS#1
	case starts(tagInteger, tagSequence) && len(e) <= 3 && e[1].child(0).is(tagOID) && e[1].child(1).isContext(0):
		return KindKeystore
	case starts(tagOID) && len(e) == 2 && e[1].isContext(0):
		return KindPKCS7
	case starts(tagEnumerated):
		return KindOCSP
	case starts(tagSequence, tagSequence), damaged(der) != nil:
		return KindCertificate // what of it is wrong is told when it is parsed
	}
	return KindOther
}

// signedShape tells certificates, requests and CRLs from each other by what is
// signed: only a version 2 or 3 certificate starts with [0], a request has its
// key behind the name, and a CRL a time.
func signedShape(tbs tlv) Kind {
	e := tbs.children(4)
	if len(e) < 3 {
		return KindCertificate
	}
	const utcTime, generalizedTime = 23, 24
	isTime := func(t tlv) bool { return t.is(utcTime) || t.is(generalizedTime) }
	switch {
	case e[0].class != classUniversal:
		return KindCertificate
	case isTime(e[2]), e[0].is(tagInteger) && len(e) > 3 && isTime(e[3]):
		return KindCRL
	case !e[0].is(tagInteger):
		return KindCertificate
	}
	if key := e[2].children(2); len(key) == 2 && key[0].is(tagSequence) && key[1].is(tagBitString) {
		return KindRequest
	}
	return KindCertificate
}

// elements are the first few elements of a piece of DER, as far as they are well formed.
func elements(der []byte, most int) []asn1.RawValue {
	var list []asn1.RawValue
	for len(der) > 0 && len(list) < most {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			break
		}
		list = append(list, v)
		der = rest
	}
	return list
}
