package layout

import (
	"crypto"
	"crypto/x509"

	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// The files of Envoy's secret discovery, and the names of the secrets in them.
const (
	envoyCertificate = "sds-certificate.yaml"
	envoyValidation  = "sds-validation.yaml"
	envoyCertName    = "certificate"
	envoyRootsName   = "roots"
	envoySecret      = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// envoy is the files of tls, and beside them the two that path_config_source reads.
// Those hold what they speak of: a certificate and its key in one file are never of
// two generations.
type envoy struct{}

// Check says what Envoy would refuse.
func (envoy) Check(p Plan) error {
	var found []Refusal
	if p.Foreign {
		found = append(found, Refusal{"the private key belongs beside the chain, and somebody else has it: choose tls or pem", "Envoy, TlsCertificate"})
	}
	if !p.KeyType.EC() && !p.KeyType.RSA() {
		found = append(found, Refusal{"a key of type " + string(p.KeyType) + ": it takes RSA and EC keys", "Envoy, TlsCertificate"})
	}
	return refused("Envoy", found)
}

// Encode gives the files of tls and the two of secret discovery.
func (l envoy) Encode(c *issue.Credential) (issue.Files, error) {
	if err := l.Check(planOf(c)); err != nil {
		return nil, err
	}
	files, err := tls.Encode(c)
	if err != nil {
		return nil, err
	}
	certificate, err := encodeYAML(envoyResource(envoyCertName, entry{"tls_certificate", node{
		{"certificate_chain", node{{"inline_string", string(files[tls.chain].Data)}}},
		{"private_key", node{{"inline_string", string(files[tls.secret].Data)}}},
	}}))
	if err != nil {
		return nil, err
	}
	roots, err := encodeYAML(envoyRoots(c.Roots, nil))
	if err != nil {
		return nil, err
	}
	files[envoyCertificate] = issue.File{Data: certificate, Secret: true}
	files[envoyValidation] = issue.File{Data: roots}
	return files, nil
}

// envoyRoots is the secret with the roots, and with CRLs where there are any.
func envoyRoots(roots []*x509.Certificate, crls []byte) node {
	context := node{{"trusted_ca", node{{"inline_string", string(pemfile.EncodeCertificates(roots...))}}}}
	if len(crls) > 0 {
		context = append(context, entry{"crl", node{{"inline_string", string(crls)}}})
	}
	return envoyResource(envoyRootsName, entry{"validation_context", context})
}

func envoyResource(name string, e entry) node {
	return node{{"resources", []any{node{{"@type", envoySecret}, {"name", name}, e}}}}
}

// Decode gives the chain back.
func (envoy) Decode(f issue.Files) ([]*x509.Certificate, error) { return tls.Decode(f) }

// DecodeBy gives the chain back.
func (envoy) DecodeBy(f issue.Files, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	return tls.DecodeBy(f, parse)
}

func (envoy) key(f issue.Files) (crypto.Signer, error) { return tls.key(f) }
