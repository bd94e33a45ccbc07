package inspect

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

var (
	ruleTLSOld      = Rule{"server-tls-old", SeverityWarning, "RFC 9325, Section 3.1.1", "a server speaks TLS 1.2 or newer"}
	ruleChainOrder  = Rule{"server-chain-order", SeverityWarning, "RFC 8446, Section 4.4.2", "a server sends its chain leaf first, each certified by the next"}
	ruleRootSent    = Rule{"server-root-sent", SeverityInfo, "RFC 8446, Section 4.4.2", "a server does not send the root"}
	ruleNoClientCAs = Rule{"server-client-cas-unnamed", SeverityInfo, "RFC 8446, Section 4.2.4", "a server that asks for a certificate says from whom"}
)

// endpointRules are those on what a server shows.
var endpointRules = []Rule{ruleTLSOld, ruleChainOrder, ruleRootSent, ruleNoClientCAs}

// EndpointFacts say what a server shows beside its chain.
type EndpointFacts struct {
	Protocol    string `json:"protocol,omitempty"` // "TLS 1.3"; "" where the handshake came to no end
	CipherSuite string `json:"cipherSuite,omitempty"`
	Sent        int    `json:"sent"` // certificates

	// AsksClient tells whether it asks for a client's certificate, and ClientCAs from
	// which authorities (RFC 4514); whether it insists is what probe finds out.
	AsksClient bool     `json:"asksForClientCertificate"`
	ClientCAs  []string `json:"clientCAs"`
	// Refused is what it did without one, where it ended the handshake at once.
	Refused string `json:"refused,omitempty"`
}

// DescribeServed gives the facts of what a server showed, and judges them. The
// certificates of its chain are described as objects of their own.
func DescribeServed(source string, s *Served, _ time.Time) Report {
	f := &EndpointFacts{Sent: len(s.Chain), AsksClient: s.AsksClient, ClientCAs: []string{}}
	if s.Version != 0 {
		f.Protocol, f.CipherSuite = tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite)
	}
	const most = 1000
	for _, ca := range s.ClientCAs[:min(most, len(s.ClientCAs))] {
		f.ClientCAs = append(f.ClientCAs, nameOr(ca))
	}
	if s.Refused != nil {
		f.Refused = s.Refused.Error()
	}
	return Report{Source: source, Kind: KindEndpoint, Endpoint: f, Findings: s.findings()}
}

func (s *Served) findings() []Finding {
	list := []Finding{}
	if s.Version != 0 && s.Version < tls.VersionTLS12 {
		list = append(list, ruleTLSOld.broken("", fmt.Sprintf("it agreed on %s, which is broken", tls.VersionName(s.Version)), "switch on TLS 1.2 and 1.3 there, and nothing older"))
	}
	for i, c := range s.Chain[1:] {
		if !bytes.Equal(s.Chain[i].RawIssuer, c.RawSubject) {
			list = append(list, ruleChainOrder.broken(shortName(c),
				fmt.Sprintf("certificate %d of its chain did not issue the one before it", i+2), "send the leaf first, then each one's issuer"))
			break
		}
	}
	if last := s.Chain[len(s.Chain)-1]; len(s.Chain) > 1 && selfSignedRoot(last) {
		list = append(list, ruleRootSent.broken(shortName(last), "it sends the root too, which no client needs: they trust their own copy or none", "leave the root out of the served chain"))
	}
	if s.AsksClient && len(s.ClientCAs) == 0 {
		list = append(list, ruleNoClientCAs.broken("", "it asks for a client's certificate, and does not say from which authorities", ""))
	}
	return list
}

func selfSignedRoot(c *x509.Certificate) bool {
	return isCA(c) && selfIssued(c) && usableKey(c.PublicKey) && checkSignature(c, c) == nil
}
