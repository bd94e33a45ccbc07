// Envoy-sds reads files as Envoy would: by Envoy's own protobuf messages, to the letter,
// with the rules of validation that these have. It takes files of secret discovery, and
// filter chains with a transport socket, and prints what it found in each.
//
//	envoy-sds FILE...
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	secrets "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

func main() {
	for _, name := range os.Args[1:] {
		if err := read(name); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

// message is what all generated messages can do.
type message interface {
	proto.Message
	ValidateAll() error
}

func read(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	var response discovery.DiscoveryResponse
	asSecrets := protojson.Unmarshal(asJSON, &response)
	if asSecrets == nil {
		return resources(&response)
	}
	var chain listener.FilterChain
	if asChain := protojson.Unmarshal(asJSON, &chain); asChain != nil {
		return errors.Join(asSecrets, asChain)
	}
	return socket(&chain)
}

func resources(r *discovery.DiscoveryResponse) error {
	if len(r.Resources) == 0 {
		return errors.New("there is no resource in it")
	}
	for _, any := range r.Resources {
		var s secrets.Secret
		if err := any.UnmarshalTo(&s); err != nil {
			return err
		}
		if err := s.ValidateAll(); err != nil {
			return err
		}
		if c := s.GetTlsCertificate(); c != nil {
			pair, err := tls.X509KeyPair([]byte(c.GetCertificateChain().GetInlineString()), []byte(c.GetPrivateKey().GetInlineString()))
			if err != nil {
				return err
			}
			fmt.Printf("%s: a certificate with %d in its chain\n", s.Name, len(pair.Certificate))
		}
		if v := s.GetValidationContext(); v != nil {
			if !x509.NewCertPool().AppendCertsFromPEM([]byte(v.GetTrustedCa().GetInlineString())) {
				return errors.New("there are no roots in it")
			}
			fmt.Printf("%s: roots, CRLs %t\n", s.Name, v.GetCrl() != nil)
		}
	}
	return nil
}

func socket(chain *listener.FilterChain) error {
	var tls secrets.DownstreamTlsContext
	if err := chain.GetTransportSocket().GetTypedConfig().UnmarshalTo(&tls); err != nil {
		return err
	}
	for _, m := range []message{chain, &tls} {
		if err := m.ValidateAll(); err != nil {
			return err
		}
	}
	at := func(s *secrets.SdsSecretConfig) string {
		var path *core.PathConfigSource = s.GetSdsConfig().GetPathConfigSource()
		return s.GetName() + " in " + path.GetPath() + ", watched " + path.GetWatchedDirectory().GetPath()
	}
	common := tls.GetCommonTlsContext()
	for _, s := range common.GetTlsCertificateSdsSecretConfigs() {
		fmt.Println(at(s))
	}
	fmt.Println(at(common.GetValidationContextSdsSecretConfig()))
	fmt.Printf("demands a client's certificate: %t\n", tls.GetRequireClientCertificate().GetValue())
	return nil
}
