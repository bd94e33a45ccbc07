package layout

import (
	"crypto"
	"crypto/x509"

	"github.com/meshpki/meshpki/issue"
)

// traefikFile is a dynamic configuration. Traefik watches that, and not the files
// that it names: so it holds what it speaks of, and each new set is seen.
const traefikFile = "traefik.yaml"

// traefik is the files of tls, and beside them a dynamic configuration.
type traefik struct{}

// Check says what Traefik would refuse.
func (traefik) Check(p Plan) error {
	found := serverOnly(p)
	if p.Foreign {
		found = append(found, Refusal{"the private key belongs in its configuration, and somebody else has it: choose tls or pem", "Traefik, TLS certificates"})
	}
	return refused("Traefik", found)
}

// Encode gives the files of tls and the configuration, in which mutual TLS is the
// option called mtls.
func (l traefik) Encode(c *issue.Credential) (issue.Files, error) {
	if err := l.Check(planOf(c)); err != nil {
		return nil, err
	}
	files, err := tls.Encode(c)
	if err != nil {
		return nil, err
	}
	config, err := encodeYAML(node{{"tls", node{
		{"certificates", []any{node{
			{"certFile", string(files[tls.chain].Data)},
			{"keyFile", string(files[tls.secret].Data)},
		}}},
		{"options", node{{"mtls", node{{"clientAuth", node{
			{"caFiles", []any{string(files[tls.roots].Data)}},
			{"clientAuthType", "RequireAndVerifyClientCert"},
		}}}}}},
	}}})
	if err != nil {
		return nil, err
	}
	files[traefikFile] = issue.File{Data: config, Secret: true}
	return files, nil
}

// Decode gives the chain back.
func (traefik) Decode(f issue.Files) ([]*x509.Certificate, error) { return tls.Decode(f) }

// DecodeBy gives the chain back.
func (traefik) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	return tls.DecodeBy(f, parse)
}

func (traefik) key(f issue.Files) (crypto.Signer, error) { return tls.key(f) }
