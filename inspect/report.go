package inspect

import "time"

// Report is what there is to say about one object. One of Certificate, Request,
// CRL, OCSP, Endpoint, PrivateKey and PublicKey is set, unless Error says why none could be.
// Texts in it stand as the object has them and may hold any character.
type Report struct {
	Source string `json:"source"`
	Index  int    `json:"index"`            // place in the source, from 1
	Line   int    `json:"line,omitempty"`   // of the PEM block
	Label  string `json:"label,omitempty"`  // type of the PEM block
	Within string `json:"within,omitempty"` // where in the source: a keystore's entry, a bundle's trust domain, a Secret's key
	Kind   Kind   `json:"kind"`
	Error  string `json:"error,omitempty"` // why it could not be read

	Certificate *CertificateFacts `json:"certificate,omitempty"`
	Request     *RequestFacts     `json:"request,omitempty"`
	CRL         *CRLFacts         `json:"crl,omitempty"`
	OCSP        *OCSPFacts        `json:"ocsp,omitempty"`
	Endpoint    *EndpointFacts    `json:"endpoint,omitempty"`
	PrivateKey  *PrivateKeyFacts  `json:"privateKey,omitempty"`
	PublicKey   *PublicKeyFacts   `json:"publicKey,omitempty"`

	Findings []Finding `json:"findings"`
	// Consumers are the verdicts of the meshes on a CA certificate, where they were asked for.
	Consumers []ConsumerVerdict `json:"consumers,omitempty"`
}

// Validity is the time in which something holds, as seen from a moment.
type Validity struct {
	NotBefore        time.Time `json:"notBefore"`
	NotAfter         time.Time `json:"notAfter"`
	RemainingSeconds int64     `json:"remainingSeconds"` // negative when it is over
	State            string    `json:"state"`            // one of the State constants
}

// The states of a certificate at a moment. Both ends of its validity belong to
// it (RFC 5280, Section 4.1.2.5).
const (
	StateValid       = "valid"
	StateExpired     = "expired"
	StateNotYetValid = "not yet valid"
	StateUnknown     = "unknown" // of a damaged certificate whose times cannot be read
)

// CertificateFacts say what a certificate is.
type CertificateFacts struct {
	Name    string `json:"name"`    // what a person calls it
	Subject string `json:"subject"` // RFC 4514
	Issuer  string `json:"issuer"`  // RFC 4514
	Serial  string `json:"serial"`  // lower-case hex
	Validity
	IsCA       bool `json:"isCA"`
	MaxPathLen *int `json:"maxPathLen,omitempty"`
	SelfSigned bool `json:"selfSigned"`

	KeyUsage    []string `json:"keyUsage"`
	ExtKeyUsage []string `json:"extKeyUsage"`
	Names
	SPIFFEID string `json:"spiffeId,omitempty"` // when there is exactly one and it is well formed
	SVID     bool   `json:"svid"`               // a leaf that keeps every rule of an X509-SVID

	PublicKey          PublicKeyFacts `json:"publicKey"`
	SignatureAlgorithm string         `json:"signatureAlgorithm"`
	SubjectKeyID       string         `json:"subjectKeyId,omitempty"`
	AuthorityKeyID     string         `json:"authorityKeyId,omitempty"`
	Fingerprint        string         `json:"fingerprint"` // SHA-256 of the DER

	Constraints           *Constraints `json:"nameConstraints,omitempty"`
	CRLDistributionPoints []string     `json:"crlDistributionPoints,omitempty"`
	OCSPServers           []string     `json:"ocspServers,omitempty"`
	IssuingURLs           []string     `json:"issuingURLs,omitempty"`
	Policies              []string     `json:"policies,omitempty"`
	Extensions            []Extension  `json:"extensions"`
	CriticalUnknown       []string     `json:"criticalUnknown,omitempty"`

	// Indexes within the same source, 0 for none; only DescribeAll knows them.
	IssuedByIndex int `json:"issuedByIndex,omitempty"`
	// IssuedBy is the fingerprint of its issuer among everything that was given; only
	// Family knows it.
	IssuedBy        string `json:"issuedBy,omitempty"`
	PrivateKeyIndex int    `json:"privateKeyIndex,omitempty"`
}

// Extension is one extension of a certificate or request.
type Extension struct {
	OID      string `json:"oid"`
	Critical bool   `json:"critical"`
	Name     string `json:"name,omitempty"`
}

// RequestFacts say what a certificate request asks for.
type RequestFacts struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Names
	PublicKey          PublicKeyFacts `json:"publicKey"`
	SignatureAlgorithm string         `json:"signatureAlgorithm"`
	SignatureValid     bool           `json:"signatureValid"`
	Extensions         []Extension    `json:"extensions"`
	PrivateKeyIndex    int            `json:"privateKeyIndex,omitempty"`
}

// CRLFacts say what a certificate revocation list holds.
type CRLFacts struct {
	Issuer             string     `json:"issuer"`
	Number             string     `json:"number,omitempty"` // decimal
	ThisUpdate         time.Time  `json:"thisUpdate"`
	NextUpdate         *time.Time `json:"nextUpdate,omitempty"`
	RemainingSeconds   *int64     `json:"remainingSeconds,omitempty"` // until nextUpdate
	Entries            int        `json:"entries"`
	Revoked            []Revoked  `json:"revoked"` // of a large list the first 10,000
	AuthorityKeyID     string     `json:"authorityKeyId,omitempty"`
	SignatureAlgorithm string     `json:"signatureAlgorithm"`
	IssuedByIndex      int        `json:"issuedByIndex,omitempty"`
}

// Revoked is one entry of a CRL.
type Revoked struct {
	Serial string    `json:"serial"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// PrivateKeyFacts say what is public about a private key.
type PrivateKeyFacts struct {
	Encrypted bool            `json:"encrypted"`
	PublicKey *PublicKeyFacts `json:"publicKey,omitempty"` // unless encrypted
	// CertificateIndexes are the certificates and requests of the same source
	// that have this key; only DescribeAll knows them.
	CertificateIndexes []int `json:"certificateIndexes,omitempty"`
}
