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

// Parse reads every object of a source: PEM blocks with any text around them, or
// DER (a private key, a request, a CRL, or certificates one after the other). An
// object that was found and cannot be read stands in the list with its Err and
// hides no other. The error wraps ErrNothingFound: there is none at all. Time and
// memory grow with the size of data alone; the caller bounds it.
func Parse(data []byte) ([]Object, error) {
	var objects []Object
	if hasPEM(data) {
		objects = parsePEM(data)
	} else {
		var err error
		if objects, err = parseDER(data); err != nil {
			return nil, err
		}
	}
	for i := range objects {
		objects[i].Index = i + 1
	}
	return objects, nil
}

// parseDER reads DER objects one after the other.
func parseDER(data []byte) ([]Object, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrNothingFound)
	}
	var objects []Object
	for rest := data; len(rest) > 0; {
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
		o := objectOf(shape(rest[:n]), rest[:n])
		if o.Kind == KindOther && len(objects) == 0 {
			return nil, fmt.Errorf("%w: it is DER, but of something else", ErrNothingFound)
		}
		objects = append(objects, o)
		rest = rest[n:]
	}
	return objects, nil
}

// derSize is the length in bytes of the DER SEQUENCE that data starts with.
func derSize(data []byte) (int, error) {
	if data[0] != 0x30 {
		return 0, errors.New("it is neither PEM (a line that starts with -----BEGIN) nor DER")
	}
	if len(data) < 2 {
		return 0, errors.New("it is DER that is cut off after 1 byte")
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
	if size > len(data)-head {
		return 0, fmt.Errorf("it is DER that is cut off: %d bytes of %d", len(data), head+size)
	}
	return head + size, nil
}

// objectOf parses DER as that kind of object. der is not kept if it is a key.
func objectOf(kind Kind, der []byte) Object {
	o := Object{Kind: kind}
	switch kind {
	case KindCertificate:
		o.Certificate, o.Err = x509.ParseCertificate(der)
	case KindRequest:
		o.Request, o.Err = x509.ParseCertificateRequest(der)
	case KindCRL:
		o.CRL, o.Err = x509.ParseRevocationList(der)
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
	}
	return o
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
	case KindOther:
		return "block of another kind"
	}
	return "certificate"
}

// shape tells from the outermost elements of DER what it is meant to be.
func shape(der []byte) Kind {
	outer := elements(der, 1)
	if len(outer) == 0 || outer[0].Tag != asn1.TagSequence {
		return KindOther
	}
	e := elements(outer[0].Bytes, 4)
	if len(e) < 2 || e[0].Class != asn1.ClassUniversal {
		return KindOther
	}
	tags := [2]int{e[0].Tag, e[1].Tag}
	switch {
	case len(e) == 3 && tags == [2]int{asn1.TagSequence, asn1.TagSequence}:
		return signedShape(e[0].Bytes)
	case len(e) == 2 && tags == [2]int{asn1.TagSequence, asn1.TagBitString}:
		return KindPublicKey
	case len(e) == 2 && tags == [2]int{asn1.TagSequence, asn1.TagOctetString}:
		return KindKey // encrypted
	case tags == [2]int{asn1.TagInteger, asn1.TagOctetString}:
		return KindKey // SEC 1
	case len(e) > 2 && tags == [2]int{asn1.TagInteger, asn1.TagSequence} && e[2].Tag == asn1.TagOctetString:
		return KindKey // PKCS#8
	case len(e) > 3 && tags == [2]int{asn1.TagInteger, asn1.TagInteger}:
		return KindKey // PKCS#1
	}
	return KindOther
}

// signedShape tells certificates, requests and CRLs from each other by what is
// signed: only a version 2 or 3 certificate starts with [0], a request has its
// key behind the name, and a CRL a time.
func signedShape(tbs []byte) Kind {
	e := elements(tbs, 4)
	if len(e) < 3 {
		return KindCertificate
	}
	isTime := func(v asn1.RawValue) bool { return v.Tag == asn1.TagUTCTime || v.Tag == asn1.TagGeneralizedTime }
	switch {
	case e[0].Class != asn1.ClassUniversal:
		return KindCertificate
	case isTime(e[2]), e[0].Tag == asn1.TagInteger && len(e) > 3 && isTime(e[3]):
		return KindCRL
	case e[0].Tag != asn1.TagInteger:
		return KindCertificate
	}
	if key := elements(e[2].Bytes, 2); len(key) == 2 && key[0].Tag == asn1.TagSequence && key[1].Tag == asn1.TagBitString {
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
