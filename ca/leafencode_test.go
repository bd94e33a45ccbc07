package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// sameAsGeneral holds encodeLeaf against crypto/x509: the same bytes, or an error of both.
func sameAsGeneral(t *testing.T, template, issuer *x509.Certificate, pub crypto.PublicKey) {
	t.Helper()
	if !plain(template, issuer) {
		t.Fatalf("%+v is not plain", template)
	}
	general, _, wrong := toBeSigned(issuer.PublicKey, func(s crypto.Signer) error {
		_, err := x509.CreateCertificate(rand.Reader, template, issuer, pub, s)
		return err
	})
	tbs, err := encodeLeaf(template, issuer, must(publicKeyInfo(pub)), []byte(ECDSAWithSHA256))
	if (err == nil) != (wrong == nil) {
		t.Fatalf("%v, where crypto/x509 says %v, of %+v", err, wrong, template)
	}
	if err != nil {
		readsWell(t, err)
		return
	}
	if !bytes.Equal(tbs, general) {
		t.Fatalf("%x\nand not, as crypto/x509 encodes it,\n%x", tbs, general)
	}
}

// plainTemplate has one of everything that encodeLeaf knows.
func plainTemplate(issuer *x509.Certificate) *x509.Certificate {
	policy := must(x509.ParseOID("1.3.6.1.4.1.99999.1"))
	return &x509.Certificate{
		SerialNumber: big.NewInt(0x80), RawSubject: must(encodeSubject(CommonNameOnly("payment"))), NotBefore: now, NotAfter: now.AddDate(0, 1, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageDecipherOnly, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		Policies: []x509.OID{policy, must(x509.ParseOID("2.5.29.32.0"))}, BasicConstraintsValid: true, SubjectKeyId: []byte{1, 2, 3}, AuthorityKeyId: issuer.SubjectKeyId,
		DNSNames: []string{"a.b", "*.c.d"}, EmailAddresses: []string{"a@b.c"}, IPAddresses: []net.IP{net.IPv4(1, 2, 3, 4), net.ParseIP("fd00::1")},
		URIs:       []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/default/sa/payment"}},
		OCSPServer: []string{"http://ocsp.a"}, IssuingCertificateURL: []string{"http://a/ca.crt", "ldap://b"}, CRLDistributionPoints: []string{"http://a/crl", "http://b/crl"},
	}
}

func TestEncodeLeaf(t *testing.T) {
	issuer := newIssuer(t).Certificate
	keys := []crypto.PublicKey{must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)).Public()}
	for _, kt := range KeyTypes() {
		keys = append(keys, key(t, kt).Public())
	}
	for _, pub := range keys {
		sameAsGeneral(t, plainTemplate(issuer), issuer, pub)
		if got, want := must(publicKeyInfo(pub)), must(x509.MarshalPKIXPublicKey(pub)); !bytes.Equal(got, want) {
			t.Errorf("%T: %x and not %x", pub, got, want)
		}
	}
	if _, err := publicKeyInfo(rsa.PublicKey{}); err == nil {
		t.Error("what is no public key is encoded")
	}
	for _, change := range []func(c *x509.Certificate){
		func(c *x509.Certificate) { c.RawSubject = []byte{0x30, 0} },
		func(c *x509.Certificate) { c.KeyUsage = 0 },
		func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDecipherOnly },
		func(c *x509.Certificate) { c.ExtKeyUsage, c.Policies = nil, nil },
		func(c *x509.Certificate) { c.OCSPServer = nil },
		func(c *x509.Certificate) {
			c.OCSPServer, c.IssuingCertificateURL, c.CRLDistributionPoints = nil, nil, nil
		},
		func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses, c.IPAddresses, c.URIs = nil, nil, nil, nil },
		func(c *x509.Certificate) {
			c.DNSNames = []string{strings.Repeat("a", 127), strings.Repeat("b", 128), strings.Repeat("c", 70_000)}
		},
		func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(-80, 0, 0), now.AddDate(30, 0, 0) },
		func(c *x509.Certificate) {
			c.NotAfter = time.Date(2049, 12, 31, 23, 59, 59, 999, time.FixedZone("", -3600))
		},
		func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 158) },
		// What cannot be encoded.
		func(c *x509.Certificate) { c.NotAfter = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		func(c *x509.Certificate) { c.NotBefore = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
		func(c *x509.Certificate) { c.DNSNames = []string{"ä"} },
		func(c *x509.Certificate) { c.EmailAddresses = []string{"ä"} },
		func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "a", Opaque: "ä"}} },
		func(c *x509.Certificate) { c.Policies = append(c.Policies, x509.OID{}) },
	} {
		template := plainTemplate(issuer)
		change(template)
		sameAsGeneral(t, template, issuer, keys[0])
	}
}

// TestEncodeURLs: a URL is ASCII here, whatever crypto/x509 thinks of it.
func TestEncodeURLs(t *testing.T) {
	issuer := newIssuer(t).Certificate
	for _, change := range []func(c *x509.Certificate){
		func(c *x509.Certificate) { c.OCSPServer = []string{"http://ä"} },
		func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ä"} },
		func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://ä"} },
	} {
		template := plainTemplate(issuer)
		change(template)
		if _, err := encodeLeaf(template, issuer, must(publicKeyInfo(issuer.PublicKey)), []byte(ECDSAWithSHA256)); err == nil {
			t.Error("a URL is no IA5String")
		}
	}
}

// TestPlain: what encodeLeaf does not encode is left to crypto/x509.
func TestPlain(t *testing.T) {
	issuer := newIssuer(t).Certificate
	for n, change := range []func(c *x509.Certificate){
		func(c *x509.Certificate) { c.IsCA = true },
		func(c *x509.Certificate) { c.BasicConstraintsValid = false },
		func(c *x509.Certificate) { c.MaxPathLen = -1 },
		func(c *x509.Certificate) { c.MaxPathLenZero = true },
		func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"a"} },
		func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"a"} },
		func(c *x509.Certificate) { c.PermittedURIDomains = []string{"a"} },
		func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"a"} },
		func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"a"} },
		func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{"a"} },
		func(c *x509.Certificate) { c.PermittedIPRanges = ipNets("10.0.0.0/8") },
		func(c *x509.Certificate) { c.ExcludedIPRanges = ipNets("10.0.0.0/8") },
		func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{{Id: oidKeyUsage}} },
		func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} },
		func(c *x509.Certificate) { c.PolicyIdentifiers = []asn1.ObjectIdentifier{{1, 2, 3}} },
		func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, 14) },
		func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, -1) },
		func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA512 },
		func(c *x509.Certificate) { c.SerialNumber = nil },
		func(c *x509.Certificate) { c.SerialNumber = new(big.Int) },
		func(c *x509.Certificate) { c.RawSubject = nil },
		func(c *x509.Certificate) { c.RawSubject = issuer.RawSubject },
		func(c *x509.Certificate) { c.SubjectKeyId = nil },
		func(c *x509.Certificate) { c.AuthorityKeyId = nil },
		func(c *x509.Certificate) { c.AuthorityKeyId = []byte{1} },
	} {
		template := plainTemplate(issuer)
		if !plain(template, issuer) {
			t.Fatal("the template is not plain")
		}
		if change(template); plain(template, issuer) {
			t.Errorf("change %d is called plain", n)
		}
	}
}

func FuzzEncodeLeaf(f *testing.F) {
	f.Add("payment", "a.b", "a@b.c", "spiffe://a/b", []byte{1, 2, 3, 4}, []byte{0x80}, int64(0), int64(3600), uint16(1), "\x01\x02", "http://a/{}", "1.2.3")
	f.Add("", "", "", "", []byte{}, []byte{0, 1}, int64(-1<<40), int64(1<<40), uint16(0x1ff), "", "", "")
	issuer := newIssuer(f).Certificate
	pub := key(f, ECP256).Public()
	f.Fuzz(func(t *testing.T, cn, dns, email, uri string, ip, serial []byte, from, until int64, usage uint16, purposes, location, policy string) {
		subject, err := encodeSubject(CommonNameOnly(cn))
		if err != nil || cn == "" {
			subject = []byte{0x30, 0}
		}
		c := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(serial), RawSubject: subject, NotBefore: time.Unix(from, 0), NotAfter: time.Unix(until, 0),
			KeyUsage: x509.KeyUsage(usage & 0x1ff), BasicConstraintsValid: true, SubjectKeyId: []byte{1}, AuthorityKeyId: issuer.SubjectKeyId}
		for _, p := range []byte(purposes) {
			c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsage(p%20))
		}
		if dns != "" {
			c.DNSNames = strings.Split(dns, ",")
		}
		if email != "" {
			c.EmailAddresses = []string{email}
		}
		if u, err := url.Parse(uri); err == nil && uri != "" {
			c.URIs = []*url.URL{u}
		}
		if len(ip) > 0 {
			c.IPAddresses = []net.IP{ip}
		}
		if location != "" && isASCII(location+cn) { // about which crypto/x509 does not care
			c.CRLDistributionPoints, c.OCSPServer, c.IssuingCertificateURL = []string{location, cn}, []string{location}, strings.Split(location, "/")
		}
		if oid, err := x509.ParseOID(policy); err == nil {
			c.Policies = []x509.OID{oid}
		}
		if plain(c, issuer) {
			sameAsGeneral(t, c, issuer, pub)
		}
		requestAsGeneral(t, requestFor(c), pub)
	})
}
