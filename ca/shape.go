package ca

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// Shape is how a consumer of a CA wants the CA certificate that it is handed.
type Shape struct {
	MaxPathLen int
	URI        bool   // the trust domain's ID as URI SAN
	CommonName string // of the intermediate; empty leaves the default
	RootName   string // common name of the root; empty leaves the default
	KeyTypes   []KeyType
	Citation   string
}

// shapes are the consumers' own rules: those that sign leaves themselves take
// path length 0; SPIRE puts a CA of its own below.
var shapes = map[string]Shape{
	"istio":              {KeyTypes: []KeyType{ECP256, ECP384, RSA2048, RSA3072, RSA4096}, Citation: "Istio, plug in CA certificates"},
	"linkerd":            {KeyTypes: []KeyType{ECP256}, Citation: "Linkerd, generating your own mTLS root certificates"},
	"dapr":               {Citation: "Dapr, set up mTLS"},
	"kuma":               {Citation: "Kuma, mutual TLS"},
	"cert-manager":       {Citation: "cert-manager, CA issuer"},
	"envoy":              {Citation: "Envoy, TLS"},
	"consul":             {URI: true, KeyTypes: []KeyType{ECP256, ECP384, RSA2048, RSA4096}, Citation: "Consul, built-in CA"},
	"spire":              {MaxPathLen: 1, KeyTypes: []KeyType{ECP256, ECP384, RSA2048, RSA3072, RSA4096}, Citation: "SPIRE, UpstreamAuthority disk"},
	"nginx-service-mesh": {MaxPathLen: 1, KeyTypes: []KeyType{ECP256, ECP384, RSA2048, RSA3072, RSA4096}, Citation: "NGINX Service Mesh, upstream CA"},
}

// Consumers lists the names that ShapeFor takes.
func Consumers() []string {
	var names []string
	for n := range shapes {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// ShapeFor is the shape that a consumer wants, for a trust domain and a key type.
func ShapeFor(consumer string, td spiffeid.TrustDomain, kt KeyType) (Shape, error) {
	s, ok := shapes[consumer]
	if !ok {
		return Shape{}, fmt.Errorf("consumer %s is none of %s", quoteShort(consumer), strings.Join(Consumers(), ", "))
	}
	if len(s.KeyTypes) > 0 && !slices.Contains(s.KeyTypes, kt) {
		var names []string
		for _, k := range s.KeyTypes {
			names = append(names, string(k))
		}
		return Shape{}, fmt.Errorf("%s does not take a CA with key type %s: choose %s (%s)", consumer, string(kt), strings.Join(names, ", "), s.Citation)
	}
	s.KeyTypes = slices.Clone(s.KeyTypes)
	if consumer == "linkerd" {
		s.CommonName, s.RootName = "identity.linkerd."+td.String(), "root.linkerd."+td.String()
	}
	return s, nil
}
