package inspect

import (
	"crypto/x509"
	"encoding/asn1"
	"strconv"
)

// keyUsageNames are the bits of RFC 5280, Section 4.2.1.3, in their order.
var keyUsageNames = [...]string{
	"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment",
	"keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
}

// keyUsages names the bits that are set.
func keyUsages(u x509.KeyUsage) []string {
	list := []string{}
	for i, name := range keyUsageNames {
		if u&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// extKeyUsages names what a certificate may be used for; what has no name here
// comes as its OID.
func extKeyUsages(c *x509.Certificate) []string {
	list := make([]string, 0, len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage))
	for _, u := range c.ExtKeyUsage {
		list = append(list, extKeyUsageName(u))
	}
	for _, oid := range c.UnknownExtKeyUsage {
		list = append(list, oid.String())
	}
	return list
}

func extKeyUsageName(u x509.ExtKeyUsage) string {
	switch u {
	case x509.ExtKeyUsageAny:
		return "any"
	case x509.ExtKeyUsageServerAuth:
		return "serverAuth"
	case x509.ExtKeyUsageClientAuth:
		return "clientAuth"
	case x509.ExtKeyUsageCodeSigning:
		return "codeSigning"
	case x509.ExtKeyUsageEmailProtection:
		return "emailProtection"
	case x509.ExtKeyUsageIPSECEndSystem:
		return "ipsecEndSystem"
	case x509.ExtKeyUsageIPSECTunnel:
		return "ipsecTunnel"
	case x509.ExtKeyUsageIPSECUser:
		return "ipsecUser"
	case x509.ExtKeyUsageTimeStamping:
		return "timeStamping"
	case x509.ExtKeyUsageOCSPSigning:
		return "OCSPSigning"
	}
	return u.OID().String()
}

// extensionNames are those of RFC 5280, Section 4.2 and 5.2, and a few that are
// met in the wild.
var extensionNames = map[string]string{
	"2.5.29.9": "subjectDirectoryAttributes", "2.5.29.14": "subjectKeyIdentifier", "2.5.29.15": "keyUsage",
	"2.5.29.16": "privateKeyUsagePeriod", "2.5.29.17": "subjectAltName", "2.5.29.18": "issuerAltName",
	"2.5.29.19": "basicConstraints", "2.5.29.20": "cRLNumber", "2.5.29.27": "deltaCRLIndicator",
	"2.5.29.28": "issuingDistributionPoint", "2.5.29.30": "nameConstraints", "2.5.29.31": "cRLDistributionPoints",
	"2.5.29.32": "certificatePolicies", "2.5.29.33": "policyMappings", "2.5.29.35": "authorityKeyIdentifier",
	"2.5.29.36": "policyConstraints", "2.5.29.37": "extKeyUsage", "2.5.29.46": "freshestCRL",
	"2.5.29.54": "inhibitAnyPolicy", "1.3.6.1.5.5.7.1.1": "authorityInfoAccess", "1.3.6.1.5.5.7.1.11": "subjectInfoAccess",
	"1.3.6.1.5.5.7.1.24": "tlsFeature", "1.3.6.1.4.1.11129.2.4.2": "signedCertificateTimestamps",
	"1.3.6.1.4.1.11129.2.4.3": "precertificatePoison", "1.3.6.1.4.1.37476.9000.64.1": "smallstepProvisioner",
	"2.16.840.1.113730.1.1": "netscapeCertType", "2.16.840.1.113730.1.13": "netscapeComment",
}

// reasonNames are the reason codes of RFC 5280, Section 5.3.1.
var reasonNames = map[int]string{
	0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded",
	5: "cessationOfOperation", 6: "certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn", 10: "aACompromise",
}

func reasonName(code int) string {
	if name, ok := reasonNames[code]; ok {
		return name
	}
	return strconv.Itoa(code)
}

// signatureName names a signature algorithm; signed is the certificate, request
// or CRL, whose second element says an algorithm that Go does not know.
func signatureName(a x509.SignatureAlgorithm, signed []byte) string {
	if a != x509.UnknownSignatureAlgorithm {
		return a.String()
	}
	if outer := elements(signed, 1); len(outer) == 1 {
		if e := elements(outer[0].Bytes, 2); len(e) == 2 && e[1].Tag == asn1.TagSequence {
			return firstOID(e[1].Bytes)
		}
	}
	return "unknown"
}
