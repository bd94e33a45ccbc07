package inspect

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// signatureAlgorithms are the identifiers of the algorithms that signatures are
// checked with (RFC 3279, 4055, 5758 and 8410), as OIDs.
var signatureAlgorithms = map[string]x509.SignatureAlgorithm{
	"1.2.840.113549.1.1.4": x509.MD5WithRSA, "1.2.840.113549.1.1.5": x509.SHA1WithRSA, "1.2.840.113549.1.1.11": x509.SHA256WithRSA,
	"1.2.840.113549.1.1.12": x509.SHA384WithRSA, "1.2.840.113549.1.1.13": x509.SHA512WithRSA, "1.2.840.10040.4.3": x509.DSAWithSHA1,
	"2.16.840.1.101.3.4.3.2": x509.DSAWithSHA256, "1.2.840.10045.4.1": x509.ECDSAWithSHA1, "1.2.840.10045.4.3.2": x509.ECDSAWithSHA256,
	"1.2.840.10045.4.3.3": x509.ECDSAWithSHA384, "1.2.840.10045.4.3.4": x509.ECDSAWithSHA512, "1.3.101.112": x509.PureEd25519,
}

const oidPSS = "1.2.840.113549.1.1.10"

// signatureAlgorithmOf reads an AlgorithmIdentifier with its header.
func signatureAlgorithmOf(der []byte) x509.SignatureAlgorithm {
	input := cryptobyte.String(der)
	var outer cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1ObjectIdentifier(&oid) {
		return x509.UnknownSignatureAlgorithm
	}
	id := oid.String()
	if id == oidPSS {
		return pssAlgorithm(outer)
	}
	a := signatureAlgorithms[id]
	// NULL or nothing stands behind RSA (RFC 4055, Section 5), nothing behind the others.
	null := []byte{5, 0}
	if rsa := strings.HasPrefix(id, "1.2.840.113549.1.1."); len(outer) > 0 && !(rsa && bytes.Equal(outer, null)) {
		return x509.UnknownSignatureAlgorithm
	}
	return a
}

// pssAlgorithm reads RSASSA-PSS-params (RFC 4055, Section 3.1): one hash for all,
// and a salt as long as it.
func pssAlgorithm(der cryptobyte.String) x509.SignatureAlgorithm {
	var params, field, mask cryptobyte.String
	var hash, of, mgf asn1.ObjectIdentifier
	salt := 0
	if !der.ReadASN1(&params, cbasn1.SEQUENCE) || !der.Empty() ||
		!params.ReadASN1(&field, cbasn1.Tag(0).ContextSpecific().Constructed()) || !readAlgorithm(&field, &hash, nil) ||
		!params.ReadASN1(&field, cbasn1.Tag(1).ContextSpecific().Constructed()) || !readAlgorithm(&field, &mgf, &mask) || !readAlgorithm(&mask, &of, nil) ||
		!params.ReadASN1(&field, cbasn1.Tag(2).ContextSpecific().Constructed()) || !field.ReadASN1Integer(&salt) ||
		mgf.String() != "1.2.840.113549.1.1.8" || !hash.Equal(of) {
		return x509.UnknownSignatureAlgorithm
	}
	switch id := hash.String(); {
	case id == "2.16.840.1.101.3.4.2.1" && salt == 32:
		return x509.SHA256WithRSAPSS
	case id == "2.16.840.1.101.3.4.2.2" && salt == 48:
		return x509.SHA384WithRSAPSS
	case id == "2.16.840.1.101.3.4.2.3" && salt == 64:
		return x509.SHA512WithRSAPSS
	}
	return x509.UnknownSignatureAlgorithm
}

// readAlgorithm reads an AlgorithmIdentifier and keeps its parameters in rest.
func readAlgorithm(s *cryptobyte.String, oid *asn1.ObjectIdentifier, rest *cryptobyte.String) bool {
	var outer cryptobyte.String
	if !s.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1ObjectIdentifier(oid) {
		return false
	}
	if rest != nil {
		*rest = outer
	}
	return true
}

// dottedOID is the text of the content of an OID.
func dottedOID(content string) string {
	var oid asn1.ObjectIdentifier
	if len(content) > 0x7f {
		return "an object identifier of " + strconv.Itoa(len(content)) + " octets"
	}
	if _, err := asn1.Unmarshal(append([]byte{asn1.TagOID, byte(len(content))}, content...), &oid); err != nil {
		return "an unreadable object identifier"
	}
	return oid.String()
}
