package inspect

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/meshpki/meshpki/internal/spiffeid"
)

// Documents that hold certificates as values: SPIFFE bundles, and Kubernetes Secrets,
// ConfigMaps and the like.

// deepestDocument is how far documents may stand within each other's values.
const deepestDocument = 2

var (
	kubernetesKind = regexp.MustCompile(`(?m)(?:^|[{,])[\s-]*"?kind"?\s*:\s*"?(Secret|ConfigMap|List|SecretList|ConfigMapList|ClusterTrustBundle|CertificateSigningRequest)\b`)
	bundleKeys     = regexp.MustCompile(`"(keys|trust_domains)"\s*:`)
)

// isDocument tells documents by the words that each must have. Most sources are none,
// and short, so that it costs little to look.
func isDocument(data []byte) bool {
	start := bytes.TrimLeft(data, " \t\r\n\xef\xbb\xbf")
	if len(start) == 0 || start[0] == 0x30 && len(data) > 1 && data[1] >= 0x80 {
		return false
	}
	return start[0] == '{' && bundleKeys.Match(data) || bytes.Contains(data, []byte("kind")) && kubernetesKind.Match(data)
}

// document reads one.
func (o ParseOptions) document(data []byte, depth int) ([]Object, error) {
	if start := bytes.TrimLeft(data, " \t\r\n\xef\xbb\xbf"); start[0] == '{' && !kubernetesKind.Match(data) {
		return bundleObjects(start)
	}
	list, err := o.kubernetes(data, depth)
	if err != nil && hasPEM(data) {
		// A list of files that says "kind: Secret" somewhere is PEM all the same.
		return o.parsePEM(data), nil
	}
	return list, err
}

// jwks is a SPIFFE bundle (SPIFFE-TRUST-DOMAIN-AND-BUNDLE, Section 4).
type jwks struct {
	Keys []struct {
		Use string   `json:"use"`
		Kid string   `json:"kid"`
		Kty string   `json:"kty"`
		Crv string   `json:"crv"`
		X   string   `json:"x"`
		Y   string   `json:"y"`
		N   string   `json:"n"`
		E   string   `json:"e"`
		X5C [][]byte `json:"x5c"`
	} `json:"keys"`
}

// bundleObjects reads a bundle, or a map of them by trust domain.
func bundleObjects(data []byte) ([]Object, error) {
	var whole struct {
		jwks
		Domains json.RawMessage `json:"trust_domains"`
	}
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, fmt.Errorf("%w: it looks like a SPIFFE bundle, and is not well-formed JSON", ErrNothingFound)
	}
	list := whole.objects("", "")
	if len(whole.Domains) > 0 {
		more, err := domainBundles(whole.Domains)
		if err != nil {
			return []Object{{Kind: KindDocument, Err: err}}, nil //nolint:nilerr // it stands in the object
		}
		list = append(list, more...)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: it is a SPIFFE bundle without keys: nothing is trusted by it", ErrNothingFound)
	}
	return list, nil
}

// domainBundles reads bundles by trust domain. A domain that stands there twice makes
// the whole of it void.
func domainBundles(data []byte) ([]Object, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("trust_domains is no map of bundles by their trust domains")
	}
	var list []Object
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("trust_domains is not well formed")
		}
		if seen[name] {
			return nil, fmt.Errorf("the trust domain %s stands there twice: which of its bundles holds cannot be told", quotedSafe(name))
		}
		seen[name] = true
		if td, err := spiffeid.ParseTrustDomain(name); err != nil || td.String() != name {
			return nil, fmt.Errorf("%s in trust_domains is no trust domain", quotedSafe(name))
		}
		var b jwks
		if err := d.Decode(&b); err != nil {
			return nil, fmt.Errorf("the bundle of trust domain %s is not well formed", quotedSafe(name))
		}
		list = append(list, b.objects("trust domain "+name, name)...)
	}
	return list, nil
}

// useX509 is the use of a key of a bundle whose certificate is a root of X509-SVIDs.
const useX509 = "x509-svid"

// objects are the certificates and keys of a bundle.
func (b jwks) objects(within, domain string) []Object {
	var list []Object
	for i, k := range b.Keys {
		if len(list) > mostObjects {
			break
		}
		var found []Object
		switch {
		case k.Use == useX509 && len(k.X5C) == 0:
			found = []Object{{Kind: KindCertificate, Err: errors.New("a key for X509-SVIDs without a certificate (x5c)")}}
		case k.Use == useX509 && len(k.X5C) > 1:
			// Which of them is the root cannot be told (X509-SVID, Section 6.2).
			found = []Object{{Kind: KindCertificate, Err: errors.New("a key for X509-SVIDs with more than one certificate (x5c)")}}
		case len(k.X5C) > 0:
			for _, der := range k.X5C {
				found = append(found, objectOf(KindCertificate, der))
			}
		default:
			o := Object{Kind: KindPublicKey, Label: k.Use}
			if o.PublicKey = jwkKey(k.Kty, k.Crv, k.X, k.Y, k.N, k.E); o.PublicKey == nil {
				o.Err = errors.New("a key of a kind that is not known here")
			}
			found = []Object{o}
		}
		for _, o := range found {
			o.Within, o.TrustDomain, o.Use = strings.TrimSpace(fmt.Sprintf("%s key %d", within, i+1)), domain, cmp.Or(k.Use, "none")
			list = append(list, o)
		}
	}
	return list
}

// jwkKey reads the public key of a JWK (RFC 7518, Section 6), nil where it is none.
func jwkKey(kty, crv, x, y, n, e string) any {
	number := func(s string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(b) == 0 || len(b) > maxKeyBytes {
			return nil
		}
		return new(big.Int).SetBytes(b)
	}
	switch kty {
	case "EC":
		curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
		px, py := number(x), number(y)
		if !ok || px == nil || py == nil || px.BitLen() > curve.Params().BitSize || py.BitLen() > curve.Params().BitSize {
			return nil
		}
		size := (curve.Params().BitSize + 7) / 8
		point := append([]byte{4}, px.FillBytes(make([]byte, size))...)
		key, err := ecdsa.ParseUncompressedPublicKey(curve, append(point, py.FillBytes(make([]byte, size))...))
		if err != nil {
			return nil
		}
		return key
	case "RSA":
		mod, exp := number(n), number(e)
		if mod == nil || exp == nil || !exp.IsInt64() || exp.Int64() > 1<<31-1 {
			return nil
		}
		return &rsa.PublicKey{N: mod, E: int(exp.Int64())}
	}
	return nil
}

// kubernetesObject is what of an object may hold certificates.
type kubernetesObject struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Namespace string `yaml:"namespace"`
		Name      string `yaml:"name"`
	} `yaml:"metadata"`
	Data       map[string]string `yaml:"data"`
	StringData map[string]string `yaml:"stringData"`
	BinaryData map[string]string `yaml:"binaryData"`
	Spec       struct {
		TrustBundle string `yaml:"trustBundle"`
		Request     string `yaml:"request"`
	} `yaml:"spec"`
	Status struct {
		Certificate string `yaml:"certificate"`
	} `yaml:"status"`
	Items []kubernetesObject `yaml:"items"`
}

// kubernetes reads the objects of one or more YAML documents, or of JSON.
func (o ParseOptions) kubernetes(data []byte, depth int) ([]Object, error) {
	const most = 16 << 20
	if len(data) > most {
		return nil, fmt.Errorf("%w: a Kubernetes document of more than %d MiB", ErrNothingFound, most>>20)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var list []Object
	found := 0
	for len(list) <= mostObjects {
		var k kubernetesObject
		if err := d.Decode(&k); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%w: it looks like a Kubernetes object, and is not well-formed YAML", ErrNothingFound)
		}
		for _, one := range append([]kubernetesObject{k}, k.Items...) {
			values, objects := o.values(one, depth)
			found += values
			list = append(list, objects...)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: none in %d values of Kubernetes objects", ErrNothingFound, found)
	}
	return list, nil
}

// values reads each value of one object, in the order of their names.
func (o ParseOptions) values(k kubernetesObject, depth int) (found int, list []Object) {
	place := k.Metadata.Name
	if k.Metadata.Namespace != "" {
		place = k.Metadata.Namespace + "/" + place
	}
	add := func(key string, value []byte, err error) {
		found++
		at := strings.Trim(place+" "+key, " ")
		if err != nil {
			list = append(list, Object{Kind: KindDocument, Within: at, Err: err})
			return
		}
		objects, err := o.parse(value, depth+1)
		if err != nil {
			return // a password, a configuration: not what is looked for
		}
		for _, one := range objects {
			one.Line = 0 // it would be one of the value, and not of the file
			one.Within = strings.TrimRight(at+": "+one.Within, ": ")
			list = append(list, one)
		}
	}
	for _, values := range []struct {
		of     map[string]string
		base64 bool
	}{{k.Data, k.Kind != "ConfigMap"}, {k.BinaryData, true}, {k.StringData, false}} {
		for _, key := range sortedNames(values.of) {
			value, err := []byte(values.of[key]), error(nil)
			if values.base64 {
				if value, err = base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(value), nil))); err != nil {
					err = errors.New("its value is not base64, or some of it is missing")
				}
			}
			add(key, value, err)
		}
	}
	if k.Spec.TrustBundle != "" {
		add("spec.trustBundle", []byte(k.Spec.TrustBundle), nil)
	}
	for _, encoded := range []struct{ key, value string }{{"spec.request", k.Spec.Request}, {"status.certificate", k.Status.Certificate}} {
		if value, err := base64.StdEncoding.DecodeString(encoded.value); err == nil && len(value) > 0 {
			add(encoded.key, value, nil)
		}
	}
	return found, list
}

func sortedNames(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
