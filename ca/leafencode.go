package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"net/url"
	"slices"
	"time"
)

// The general encoder of crypto/x509 takes longer for a certificate than parsing it
// does. What nearly every certificate is, a leaf without anything unusual in it, is
// encoded here, byte for byte as crypto/x509 would (RFC 5280, Section 4.1). It is read
// back by crypto/x509 and judged before it is signed, as all are.

// plain tells whether a template has nothing in it but what encodeLeaf encodes.
func plain(t, issuer *x509.Certificate) bool {
	constraints := len(t.PermittedDNSDomains) + len(t.ExcludedDNSDomains) + len(t.PermittedURIDomains) + len(t.ExcludedURIDomains) +
		len(t.PermittedEmailAddresses) + len(t.ExcludedEmailAddresses) + len(t.PermittedIPRanges) + len(t.ExcludedIPRanges)
	return t.BasicConstraintsValid && !t.IsCA && t.MaxPathLen == 0 && !t.MaxPathLenZero && constraints == 0 &&
		len(t.ExtraExtensions)+len(t.UnknownExtKeyUsage)+len(t.PolicyIdentifiers) == 0 && t.SignatureAlgorithm == x509.UnknownSignatureAlgorithm &&
		t.SerialNumber != nil && t.SerialNumber.Sign() > 0 && len(t.RawSubject) > 0 && len(issuer.RawSubject) > 0 &&
		len(t.SubjectKeyId) > 0 && len(t.AuthorityKeyId) > 0 && bytes.Equal(t.AuthorityKeyId, issuer.SubjectKeyId) &&
		!bytes.Equal(t.RawSubject, issuer.RawSubject) && !slices.ContainsFunc(t.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u < x509.ExtKeyUsageAny || u > x509.ExtKeyUsageMicrosoftKernelCodeSigning // which have no identifier
	})
}

// encodeLeaf is the TBSCertificate of a template that is plain, for a public key and a
// signature algorithm in DER.
func encodeLeaf(t, issuer *x509.Certificate, spki, algorithm []byte) ([]byte, error) {
	d := der{b: make([]byte, 0, 1024)}
	d.element(asn1.TagSequence|constructed, func() {
		d.add(versionThree)
		d.element(asn1.TagInteger, func() { d.positive(t.SerialNumber.Bytes()) })
		d.b = append(append(d.b, algorithm...), issuer.RawSubject...)
		d.element(asn1.TagSequence|constructed, func() {
			d.moment(t.NotBefore.UTC())
			d.moment(t.NotAfter.UTC())
		})
		d.b = append(append(d.b, t.RawSubject...), spki...)
		d.element(explicit|3, func() {
			d.element(asn1.TagSequence|constructed, func() { d.extensions(t) })
		})
	})
	return d.b, d.err
}

// frame is a certificate, or a CRL, or what would be one with a signature.
func frame(tbs, algorithm, signature []byte) []byte {
	size := 1 + len(signature) // of which the first octet counts the unused bits
	whole := len(tbs) + len(algorithm) + headerSize(size) + size
	b := appendHeader(make([]byte, 0, headerSize(whole)+whole), asn1.TagSequence|constructed, whole)
	b = append(append(b, tbs...), algorithm...)
	return append(append(appendHeader(b, asn1.TagBitString, size), 0), signature...)
}

// Identifiers of extensions, and TRUE where they are critical (RFC 5280, Section 4.2).
const (
	critical       = "\x01\x01\xff"
	idKeyUsage     = "\x06\x03\x55\x1d\x0f" + critical
	idExtKeyUsage  = "\x06\x03\x55\x1d\x25"
	idConstraints  = "\x06\x03\x55\x1d\x13" + critical
	idSubjectKey   = "\x06\x03\x55\x1d\x0e"
	idAuthorityKey = "\x06\x03\x55\x1d\x23"
	idNames        = "\x06\x03\x55\x1d\x11"
	idPolicies     = "\x06\x03\x55\x1d\x20"
	idDistribution = "\x06\x03\x55\x1d\x1f"
	idInformation  = "\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x01"
	idResponder    = "\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01"
	idIssuers      = "\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02"
)

const (
	versionThree  = "\xa0\x03\x02\x01\x02"
	emptySequence = "\x30\x00"
	implicit      = 0x80 // a tag that stands for the type itself
	explicit      = implicit | constructed
)

// Types of a GeneralName (RFC 5280, Section 4.2.1.6).
const (
	emailName = implicit | 1
	dnsName   = implicit | 2
	uriName   = implicit | 6
	ipName    = implicit | 7
)

// extensions writes them in the order in which crypto/x509 does.
func (d *der) extensions(t *x509.Certificate) {
	if t.KeyUsage != 0 {
		d.extension(idKeyUsage, "", func() { d.element(asn1.TagBitString, func() { d.keyUsage(t.KeyUsage) }) })
	}
	if len(t.ExtKeyUsage) > 0 {
		d.extension(idExtKeyUsage, "", func() {
			d.element(asn1.TagSequence|constructed, func() {
				for _, u := range t.ExtKeyUsage {
					d.oid(u.OID())
				}
			})
		})
	}
	d.extension(idConstraints, "", func() { d.add(emptySequence) })
	d.extension(idSubjectKey, "", func() { d.octets(asn1.TagOctetString, t.SubjectKeyId) })
	d.extension(idAuthorityKey, "", func() {
		d.element(asn1.TagSequence|constructed, func() { d.octets(implicit, t.AuthorityKeyId) })
	})
	if len(t.OCSPServer)+len(t.IssuingCertificateURL) > 0 {
		d.extension(idInformation, "", func() {
			d.element(asn1.TagSequence|constructed, func() {
				d.access(idResponder, t.OCSPServer)
				d.access(idIssuers, t.IssuingCertificateURL)
			})
		})
	}
	if len(t.DNSNames)+len(t.EmailAddresses)+len(t.IPAddresses)+len(t.URIs) > 0 {
		alone := ""
		if string(t.RawSubject) == emptySequence {
			alone = critical
		}
		d.extension(idNames, alone, func() { d.names(t.DNSNames, t.EmailAddresses, t.IPAddresses, t.URIs) })
	}
	if len(t.Policies) > 0 {
		d.extension(idPolicies, "", func() {
			d.element(asn1.TagSequence|constructed, func() {
				for _, p := range t.Policies {
					d.element(asn1.TagSequence|constructed, func() { d.oid(p) })
				}
			})
		})
	}
	if len(t.CRLDistributionPoints) > 0 {
		d.extension(idDistribution, "", func() {
			d.element(asn1.TagSequence|constructed, func() { d.distribution(t.CRLDistributionPoints) })
		})
	}
}

// keyUsage writes the bits of a key usage, the first one first.
func (d *der) keyUsage(u x509.KeyUsage) {
	octets := []byte{bits.Reverse8(byte(u)), bits.Reverse8(byte(u >> 8))}
	if octets[1] == 0 {
		octets = octets[:1]
	}
	d.b = append(append(d.b, byte(bits.TrailingZeros8(octets[len(octets)-1]))), octets...)
}

// names writes a list of names (RFC 5280, Section 4.2.1.6).
func (d *der) names(dns, emails []string, ips []net.IP, uris []*url.URL) {
	d.element(asn1.TagSequence|constructed, func() {
		for _, s := range dns {
			d.text(dnsName, s)
		}
		for _, s := range emails {
			d.text(emailName, s)
		}
		for _, ip := range ips {
			if four := ip.To4(); four != nil {
				ip = four
			}
			d.octets(ipName, ip)
		}
		for _, u := range uris {
			d.text(uriName, u.String())
		}
	})
}

// access writes where something about the issuer is to be had (RFC 5280, Section 4.2.2.1).
func (d *der) access(id string, urls []string) {
	for _, u := range urls {
		d.element(asn1.TagSequence|constructed, func() {
			d.add(id)
			d.text(uriName, u)
		})
	}
}

// distribution writes each URL as a point of its own (RFC 5280, Section 4.2.1.13).
func (d *der) distribution(urls []string) {
	for _, u := range urls {
		d.element(asn1.TagSequence|constructed, func() {
			d.element(explicit, func() { d.element(explicit, func() { d.text(uriName, u) }) })
		})
	}
}

// der writes elements in DER (ITU-T X.690). Once something cannot be written, err says
// why, and what is there is worth nothing.
type der struct {
	b   []byte
	err error
}

// fail keeps the first error.
func (d *der) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *der) add(s string) { d.b = append(d.b, s...) }

// element writes what contents writes as one element.
func (d *der) element(tag byte, contents func()) {
	start := len(d.b)
	contents()
	size := len(d.b) - start
	head := headerSize(size)
	var room [8]byte
	d.b = append(d.b, room[:head]...)
	copy(d.b[start+head:], d.b[start:start+size])
	appendHeader(d.b[:start], tag, size)
}

func (d *der) extension(id, critical string, value func()) {
	d.element(asn1.TagSequence|constructed, func() {
		d.add(id)
		d.add(critical)
		d.element(asn1.TagOctetString, value)
	})
}

func (d *der) octets(tag byte, v []byte) { d.b = append(appendHeader(d.b, tag, len(v)), v...) }

// text writes an IA5String, or what stands for one.
func (d *der) text(tag byte, s string) {
	if !isASCII(s) {
		d.fail(fmt.Errorf("%s is not ASCII (RFC 5280, Section 4.2.1.6)", quoteShort(s)))
	}
	d.b = append(appendHeader(d.b, tag, len(s)), s...)
}

// positive writes the octets of a positive INTEGER.
func (d *der) positive(octets []byte) {
	if len(octets) == 0 || octets[0]&0x80 != 0 {
		d.b = append(d.b, 0)
	}
	d.b = append(d.b, octets...)
}

func (d *der) oid(id x509.OID) {
	d.element(asn1.TagOID, func() {
		out, err := id.AppendBinary(d.b)
		if err != nil || len(out) == len(d.b) {
			d.fail(errors.Join(err, errors.New("an object identifier that is not known")))
			return
		}
		d.b = out
	})
}

// moment writes a time in UTC.
func (d *der) moment(t time.Time) {
	if y := t.Year(); y < 0 || y > 9999 {
		d.fail(fmt.Errorf("a certificate can have no time in the year %d (RFC 5280, Section 4.1.2.5)", y))
	}
	tag, form := formOf(t)
	d.b = t.AppendFormat(appendHeader(d.b, tag, len(form)), form)
}
