package layout

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// Trust is a bundle of roots, and how a consumer wants it.
type Trust struct {
	Roots []*x509.Certificate
	// Password locks a trust store.
	Password []byte
	// Sequence and Refresh stand in a SPIFFE bundle: a number that grows, and how often
	// to look again.
	Sequence int64
	Refresh  time.Duration
	// Name and Namespace are those of a Kubernetes object, Field the key in it, and
	// Signer whom a ClusterTrustBundle belongs to; "" is nobody.
	Name, Namespace, Field, Signer string
}

// BundleForms lists the forms of a trust bundle, the default first.
func BundleForms() []string {
	return []string{"pem", "der", "jks", "pkcs12", "spiffe", "cluster-trust-bundle", "trust-manager", "configmap"}
}

// LockedBundle tells whether a form has a password.
func LockedBundle(form string) bool { return form == "jks" || form == "pkcs12" }

// BinaryBundle tells whether a form is not for a terminal.
func BinaryBundle(form string) bool { return LockedBundle(form) || form == "der" }

// Bundle gives the roots in a form; what its reader would refuse is a *RefusedError.
func (t Trust) Bundle(form string) ([]byte, error) {
	if t.Field == "" {
		t.Field = "ca.crt"
	}
	if t.Name == "" {
		t.Name = "meshpki-roots"
	}
	text := string(pemfile.EncodeCertificates(t.Roots...))
	switch form {
	case "", "pem":
		return []byte(text), nil
	case "der":
		if len(t.Roots) != 1 {
			return nil, refused("a reader of DER", []Refusal{{fmt.Sprintf("there are %d roots, and DER holds one certificate", len(t.Roots)), "RFC 5280, Section 4.1"}})
		}
		return t.Roots[0].Raw, nil
	case "jks":
		return t.store(func(password string) ([]byte, error) { return jksRoots(password, t.Roots) })
	case "pkcs12":
		return t.store(func(password string) ([]byte, error) { return pkcs12Roots(pkcs12.Modern2023, nil, password, t.Roots) })
	case "spiffe":
		return t.spiffe()
	case "cluster-trust-bundle":
		return t.clusterTrustBundle(text)
	case "trust-manager":
		return encodeYAML(object("trust.cert-manager.io/v1alpha1", "Bundle", t.Name, "", nil, spec(
			entry{"sources", []any{node{{"inLine", text}}}},
			entry{"target", node{{"configMap", node{{"key", t.Field}}}}})))
	case "configmap":
		return encodeYAML(configMap(t.Name, t.Namespace, nil, node{{t.Field, text}}))
	}
	return nil, fmt.Errorf("the form %q is none of %s", form, strings.Join(BundleForms(), ", "))
}

func (t Trust) store(encode func(password string) ([]byte, error)) ([]byte, error) {
	if err := checkPassword(t.Password); err != nil {
		return nil, err
	}
	return encode(string(t.Password))
}

// clusterTrustBundle is that of Kubernetes: CA certificates, none twice.
func (t Trust) clusterTrustBundle(text string) ([]byte, error) {
	name, fields := t.Name, []entry{}
	if t.Signer != "" {
		if !strings.Contains(t.Signer, "/") {
			return nil, fmt.Errorf("signer %q is no signer's name: example.com/mesh would be", t.Signer)
		}
		prefix := strings.ReplaceAll(t.Signer, "/", ":") + ":"
		if !strings.HasPrefix(name, prefix) {
			name = prefix + name
		}
		fields = append(fields, entry{"signerName", t.Signer})
	} else if strings.Contains(name, ":") {
		return nil, refused("Kubernetes", []Refusal{{"a name with a colon belongs to a signer, and none is named", "Kubernetes, ClusterTrustBundle"}})
	}
	out, err := encodeYAML(object("certificates.k8s.io/v1", "ClusterTrustBundle", name, "", nil, spec(append(fields, entry{"trustBundle", text})...)))
	head := "# Kubernetes 1.37 and later; from 1.33 on certificates.k8s.io/v1beta1, where it is switched on.\n"
	return append([]byte(head), out...), err
}

// spiffeKey is a JSON Web Key with its certificate (SPIFFE Trust Domain and Bundle,
// Section 4.2): one that is for X509-SVIDs has no kid.
type spiffeKey struct {
	Type  string   `json:"kty"`
	Use   string   `json:"use"`
	Chain []string `json:"x5c"`
	Curve string   `json:"crv,omitempty"`
	X     string   `json:"x,omitempty"`
	Y     string   `json:"y,omitempty"`
	N     string   `json:"n,omitempty"`
	E     string   `json:"e,omitempty"`
}

func (t Trust) spiffe() ([]byte, error) {
	doc := struct {
		Sequence int64       `json:"spiffe_sequence"`
		Refresh  int64       `json:"spiffe_refresh_hint"`
		Keys     []spiffeKey `json:"keys"`
	}{t.Sequence, int64(t.Refresh.Seconds()), []spiffeKey{}}
	for _, r := range t.Roots {
		k, err := spiffeKeyOf(r)
		if err != nil {
			return nil, err
		}
		doc.Keys = append(doc.Keys, k)
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	return append(data, '\n'), err
}

func spiffeKeyOf(r *x509.Certificate) (spiffeKey, error) {
	k := spiffeKey{Use: "x509-svid", Chain: []string{base64.StdEncoding.EncodeToString(r.Raw)}}
	text := base64.RawURLEncoding.EncodeToString
	switch pub := r.PublicKey.(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes() // 4, X, Y
		if err != nil {
			return k, err
		}
		half := len(point) / 2
		k.Type, k.Curve, k.X, k.Y = "EC", pub.Curve.Params().Name, text(point[1:half+1]), text(point[half+1:])
	case *rsa.PublicKey:
		k.Type, k.N, k.E = "RSA", text(pub.N.Bytes()), text(big.NewInt(int64(pub.E)).Bytes())
	case ed25519.PublicKey:
		k.Type, k.Curve, k.X = "OKP", "Ed25519", text(pub)
	default:
		return k, fmt.Errorf("the root %q has a key of a kind that no JSON Web Key has", r.Subject.CommonName)
	}
	return k, nil
}
