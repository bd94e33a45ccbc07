package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
)

// The structs below are cert-manager's Certificate (v1) as far as it is read: what is
// not honoured has a tag that says why, and is refused by its name.

// IssuerRef is who is to sign a Certificate, as the cluster calls it.
type IssuerRef struct {
	Place `yaml:"-"`

	Name  string `yaml:"name" need:"yes" like:"letsencrypt-prod" doc:"The issuer's name; --map-issuer and issuers say which backend that is."`
	Kind  string `yaml:"kind" like:"ClusterIssuer" doc:"Its kind; without it, Issuer."`
	Group string `yaml:"group" like:"cert-manager.io" doc:"Its API group; without it, cert-manager.io."`
}

// String is the issuer as errors call it.
func (i IssuerRef) String() string {
	kind := i.Kind
	if kind == "" {
		kind = "Issuer"
	}
	return kind + " " + quote(i.Name)
}

// Keys are the names under which a mapping may have the issuer, the nearest first.
func (i IssuerRef) Keys() []string {
	kind := i.Kind
	if kind == "" {
		kind = "Issuer"
	}
	return []string{kind + "/" + i.Name, i.Name}
}

// ignored is a part of an object that says nothing of what is wanted.
type ignored struct{}

type certificateDoc struct {
	APIVersion string          `yaml:"apiVersion" of:"cert-manager.io/v1"`
	Kind       string          `yaml:"kind"`
	Metadata   metadataDoc     `yaml:"metadata" need:"yes" like:"{name: payment}"`
	Spec       certificateSpec `yaml:"spec" need:"yes"`
	Status     ignored         `yaml:"status"`
}

type metadataDoc struct {
	Name      string `yaml:"name" need:"yes" like:"payment-cert"`
	Namespace string `yaml:"namespace" is:"label"`
}

// open lets keys pass that are not known: what a cluster notes of its objects.
func (*metadataDoc) open() {}

type certificateSpec struct {
	Place `yaml:"-"`

	SecretName     string      `yaml:"secretName" need:"yes" is:"label" like:"payment-tls" doc:"The service's name here, and with that the directory of its files; with --out k8s, the Secret that is written."`
	IssuerRef      IssuerRef   `yaml:"issuerRef" need:"yes" like:"{name: mesh}" doc:"Mapped to a backend by --map-issuer or the manifest's issuers."`
	CommonName     string      `yaml:"commonName" doc:"The subject's common name; without it and subject, the subject is empty."`
	Subject        *x509Names  `yaml:"subject" doc:"The other parts of the subject."`
	LiteralSubject string      `yaml:"literalSubject" is:"subject" doc:"The whole subject."`
	DNSNames       []string    `yaml:"dnsNames" is:"DNS name" doc:"The DNS names: these and no others."`
	IPAddresses    []string    `yaml:"ipAddresses" is:"IP address" doc:"The IP addresses."`
	URIs           []string    `yaml:"uris" is:"URI" doc:"The URIs. One that is a SPIFFE ID, alone, makes it an X509-SVID."`
	EmailAddresses []string    `yaml:"emailAddresses" is:"email address" doc:"The email addresses."`
	Duration       string      `yaml:"duration" is:"validity" doc:"How long it lives; without it, 2160h (90 days)."`
	RenewBefore    string      `yaml:"renewBefore" is:"validity" doc:"When it is due: this long before its end, or up to one percent of its life earlier."`
	RenewPercent   int         `yaml:"renewBeforePercentage" like:"25" doc:"When it is due: with this part of its life left."`
	Usages         []string    `yaml:"usages" is:"cert usage" doc:"What it may be used for; without server auth, client auth or another purpose, as profile workload."`
	PrivateKey     *privateKey `yaml:"privateKey" doc:"The kind of key; without an algorithm or a size, ec-p256."`
	IsCA           bool        `yaml:"isCA" doc:"Only false: meshpki ca intermediate makes CAs."`
	History        int         `yaml:"revisionHistoryLimit" like:"1" doc:"Honoured as it stands: there are no CertificateRequests to keep."`
	Encode         bool        `yaml:"encodeUsagesInRequest" doc:"Honoured as it stands: usages are the order's, and no request's."`

	Template  *secretTemplate `yaml:"secretTemplate" doc:"Labels and annotations, where it goes to a Secret."`
	Formats   []outputFormat  `yaml:"additionalOutputFormats" like:"{type: DER}" doc:"Files that have the key once more: key.der, tls-combined.pem."`
	Keystores *keystoresDoc   `yaml:"keystores" doc:"Keystores, with the password of --keystore-password-file."`
	Renewal   *renewalDoc     `yaml:"renewal" doc:"Only policy RenewBefore, which is what is done."`

	OtherNames  ignored `yaml:"otherNames" refuse:"names of other types are not certified here"`
	Signature   ignored `yaml:"signatureAlgorithm" refuse:"the authority's key decides on it"`
	Constraints ignored `yaml:"nameConstraints" refuse:"they belong to CAs: meshpki ca intermediate --permit-dns"`
}

type x509Names struct {
	Organizations       []string `yaml:"organizations"`
	Countries           []string `yaml:"countries"`
	OrganizationalUnits []string `yaml:"organizationalUnits"`
	Localities          []string `yaml:"localities"`
	Provinces           []string `yaml:"provinces"`
	StreetAddresses     []string `yaml:"streetAddresses"`
	PostalCodes         []string `yaml:"postalCodes"`
	SerialNumber        string   `yaml:"serialNumber"`
}

type privateKey struct {
	Algorithm string `yaml:"algorithm" of:"RSA ECDSA Ed25519"`
	Size      int    `yaml:"size" like:"2048"`
	Encoding  string `yaml:"encoding" of:"PKCS8 PKCS1"`
	Rotation  string `yaml:"rotationPolicy" of:"Always Never"`
}

// usageAliases are cert-manager's other words for usages.
var usageAliases = map[string]string{"signing": "digital signature", "s/mime": "email protection"}

func usageOf(word string) string {
	if other, ok := usageAliases[word]; ok {
		return other
	}
	return word
}

func checkCertificateUsage(s string) string { return checkUsage(usageOf(s)) }

func (s *certificateSpec) check(c cursor) *Error {
	switch {
	case s.IsCA:
		return c.wrong("isCA", "a CA is no service: meshpki ca intermediate makes one")
	case s.LiteralSubject != "" && (s.Subject != nil || s.CommonName != ""):
		return c.wrong("literalSubject", "excludes subject and commonName")
	case s.RenewBefore != "" && s.RenewPercent > 0:
		return c.wrong("renewBeforePercentage", "excludes renewBefore")
	case s.RenewPercent > 99:
		return c.wrong("renewBeforePercentage", "a number from 1 to 99 is expected")
	case s.IssuerRef.Group != "" && s.IssuerRef.Group != "cert-manager.io" && s.IssuerRef.Kind == "":
		return c.wrong("issuerRef", "kind is missing: an issuer of another group has one of its own")
	case len(s.DNSNames)+len(s.IPAddresses)+len(s.URIs)+len(s.EmailAddresses) == 0 && s.CommonName == "" && s.LiteralSubject == "":
		return c.wrong("", "no name at all: dnsNames, ipAddresses, uris, emailAddresses or commonName is needed")
	}
	if _, why := s.keyType(); why != "" {
		return c.wrong("privateKey", "%s", why)
	}
	if _, why := s.renewAt(); why != "" {
		return c.wrong("renewBefore", "%s", why)
	}
	return s.checkParts(c)
}

// keyType is the kind of key; "" where nothing is said.
func (s *certificateSpec) keyType() (kt, why string) {
	k := s.PrivateKey
	if k == nil || k.Algorithm == "" && k.Size == 0 {
		return "", ""
	}
	size := k.Size
	switch k.Algorithm {
	case "Ed25519":
		return string(ca.Ed25519), ""
	case "ECDSA":
		if size == 0 {
			size = 256
		}
		kt = fmt.Sprintf("ec-p%d", size)
	default:
		if size == 0 {
			size = 2048
		}
		kt = fmt.Sprintf("rsa-%d", size)
	}
	if !slices.Contains(ca.KeyTypes(), ca.KeyType(kt)) {
		return "", fmt.Sprintf("size %d: keys of this algorithm are made with 256 or 384 (ECDSA), or 2048, 3072 or 4096 (RSA)", size)
	}
	return kt, ""
}

// renewAt is when a certificate is due, in percent of its life; 0 where nothing is said.
func (s *certificateSpec) renewAt() (percent int, why string) {
	if s.RenewPercent > 0 {
		return 100 - s.RenewPercent, ""
	}
	if s.RenewBefore == "" {
		return 0, ""
	}
	before, _ := ParseDuration(s.RenewBefore) // its form has been checked
	life := s.life()
	if before >= life {
		return 0, fmt.Sprintf("%s before its end is before its beginning", s.RenewBefore)
	}
	// In whole percent, and rather too early; not so that it is due at once.
	return max(1, int((life-before)/(life/100))), ""
}

func (s *certificateSpec) life() time.Duration {
	if s.Duration == "" {
		return 90 * day
	}
	d, _ := ParseDuration(s.Duration) // its form has been checked
	return d
}

// service is the Certificate as a service: its names are those that it has, and no others.
func (d *certificateDoc) service() Service {
	s := &d.Spec
	out := Service{Place: s.Place, Name: s.SecretName, Namespace: d.Metadata.Namespace, Identity: "plain", NoDNS: true,
		DNS: s.DNSNames, IP: s.IPAddresses, URI: s.URIs, Email: s.EmailAddresses, Validity: s.life().String(), Issuer: &s.IssuerRef,
		Layouts: s.layouts(), Passwords: s.Keystores.refs(), ReuseKey: s.PrivateKey != nil && s.PrivateKey.Rotation == "Never"}
	if s.Template != nil {
		out.Labels, out.Annotations = s.Template.Labels, s.Template.Annotations
	}
	out.KeyType, _ = s.keyType()
	if at, _ := s.renewAt(); at > 0 {
		out.RenewAt = fmt.Sprintf("%d%%", at)
	}
	out.Profile = s.profile()
	switch out.Subject = s.LiteralSubject; {
	case s.Subject != nil:
		out.Subject = s.Subject.dn(s.CommonName)
	case s.CommonName != "":
		out.CommonName = s.CommonName
	}
	out.NoSubject = out.Subject == "" && out.CommonName == ""
	return out
}

// profile is the profile that has the usages.
func (s *certificateSpec) profile() string {
	var words []string
	for _, known := range ca.Usages() {
		if slices.ContainsFunc(s.Usages, func(u string) bool { return usageOf(u) == known }) {
			words = append(words, known)
		}
	}
	switch usages := strings.Join(words, ","); usages {
	case "", "digital signature", "digital signature,key encipherment", "key encipherment", "digital signature,server auth,client auth", "server auth,client auth":
		return "workload"
	case "digital signature,key encipherment,server auth,client auth":
		return "peer"
	case "digital signature,server auth", "server auth":
		return "server"
	case "digital signature,client auth", "client auth":
		return "client"
	default:
		return ca.UsagesProfile + usages
	}
}

// dn writes the subject as RFC 4514 has it, the most specific part first.
func (n *x509Names) dn(commonName string) string {
	var parts []string
	add := func(key string, values ...string) {
		for _, v := range values {
			if v != "" {
				parts = append(parts, key+"="+escapeDN(v))
			}
		}
	}
	add("CN", commonName)
	add("SERIALNUMBER", n.SerialNumber)
	add("OU", n.OrganizationalUnits...)
	add("O", n.Organizations...)
	add("POSTALCODE", n.PostalCodes...)
	add("STREET", n.StreetAddresses...)
	add("L", n.Localities...)
	add("ST", n.Provinces...)
	add("C", n.Countries...)
	return strings.Join(parts, ",")
}

func escapeDN(s string) string {
	var b strings.Builder
	for i, r := range s {
		if strings.ContainsRune(`"#+,;<=>\/`, r) || r == ' ' && (i == 0 || i == len(s)-1) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isIgnored tells whether a value is not looked into.
func isIgnored(t reflect.Type) bool { return t == reflect.TypeFor[ignored]() }
