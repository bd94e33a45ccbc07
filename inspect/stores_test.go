package inspect_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// stores holds what OpenSSL and keytool wrote; its README says how.
const stores = "../testdata/stores"

func store(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(stores, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sketch says in a word what each object is.
func sketch(objects []inspect.Object) string {
	var words []string
	for _, o := range objects {
		word := string(o.Kind)
		switch {
		case o.Damaged != nil:
			word = "damaged"
		case o.Err != nil:
			word += "!"
		case o.Encrypted:
			word += "*"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestStores reads what other programs wrote, with and without the password.
func TestStores(t *testing.T) {
	for _, c := range []struct{ file, password, want string }{
		{"good.p7b", "", "certificate certificate crl"},
		{"good.p7c", "", "certificate certificate"},
		{"good-aes.p12", "", "certificate certificate privateKey"}, // with the customary password
		{"good-aes.p12", "changeit", "certificate certificate privateKey"},
		{"good-aes.p12", "other", "privateKey* keystore!"},
		{"good-rc2.p12", "", "privateKey* keystore!"},
		{"good-rc2.p12", "secret", "certificate certificate privateKey"},
		{"good-java.p12", "", "certificate"},
		{"good-open.p12", "", "certificate"},
		{"good.jks", "", "privateKey certificate certificate"},
		{"good.jks", "changeit", "privateKey certificate certificate"},
		{"good.jks", "other", "keystore! privateKey* certificate certificate"},
		{"good.jceks", "changeit", "privateKey certificate certificate"},
		{"good.jceks", "other", "keystore! privateKey* certificate certificate"},
	} {
		var o inspect.ParseOptions
		if c.password != "" {
			o.Password = []byte(c.password)
		}
		list, err := o.Parse(store(t, c.file))
		if got := sketch(list); err != nil || got != c.want {
			t.Errorf("%s with %q: %s, %v; want %s", c.file, c.password, got, err, c.want)
		}
		for _, one := range list {
			if one.Err != nil && !errors.Is(one.Err, inspect.ErrKeystoreLocked) {
				t.Errorf("%s with %q: %v", c.file, c.password, one.Err)
			}
			if one.Kind == inspect.KindKey && one.DER != nil {
				t.Errorf("%s: the private key was kept", c.file)
			}
		}
		certs := inspect.Certificates(list)
		for i, want := range []string{"good-leaf.pem", "good-intermediate.pem"} {
			if len(certs) > 1 && !certs[i].Equal(inspect.Certificates(parse(t, fixture(t, want)))[0]) {
				t.Errorf("%s: certificate %d is not %s", c.file, i+1, want)
			}
		}
	}
}

// TestStoresNameTheirEntries: an alias, a friendly name.
func TestStoresNameTheirEntries(t *testing.T) {
	for file, want := range map[string]string{"good-aes.p12": "payment", "good.jks": "payment", "good-java.p12": "root"} {
		if o := parse(t, store(t, file))[0]; o.Within != want {
			t.Errorf("%s: within %q", file, o.Within)
		}
	}
}

// TestStoresCorrupt cuts and changes each store everywhere: no crash, and an answer.
func TestStoresCorrupt(t *testing.T) {
	entries, err := os.ReadDir(stores)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data := store(t, e.Name())
		for i := range data {
			if i%41 != 0 {
				continue // each place takes hashing; the fuzzer goes on from here
			}
			o := inspect.ParseOptions{Password: []byte("x")}
			changed := slices.Clone(data)
			changed[i] ^= 0x55
			for _, d := range [][]byte{data[:i], changed} {
				if list, err := o.Parse(d); (err == nil) != (len(list) > 0) {
					t.Fatalf("%s, byte %d: %d objects, %v", e.Name(), i, len(list), err)
				}
			}
		}
	}
}

// TestAbsurdIterations: a keystore may ask for any number of rounds of hashing.
func TestAbsurdIterations(t *testing.T) {
	data := store(t, "good-aes.p12")
	at := strings.LastIndex(string(data), "\x02\x02\x08\x00") // 2,048 rounds, of the MAC
	if at < 0 {
		t.Fatal("the rounds were not found")
	}
	for _, rounds := range []string{"7fffffff", "00ffffffff"} {
		n, _ := hex.DecodeString(rounds)
		grown := slices.Concat(data[:at], []byte{2, byte(len(n))}, n, data[at+4:])
		more := len(grown) - len(data)
		// The lengths of the outer SEQUENCE and of MacData grow with it.
		grown[3] += byte(more)
		mac := strings.LastIndex(string(grown[:at]), "\x30\x41\x30\x31")
		if mac < 0 {
			t.Fatal("MacData was not found")
		}
		grown[mac+1] += byte(more)
		start := time.Now()
		list, err := inspect.Parse(grown)
		if err != nil || len(list) == 0 || list[len(list)-1].Err == nil || !strings.Contains(list[len(list)-1].Err.Error(), "rounds") {
			t.Errorf("%s rounds: %v, %v", rounds, sketch(list), err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("refused only after %v", took)
		}
	}
}

// TestBundles reads SPIFFE bundles and maps of them.
func TestBundles(t *testing.T) {
	root := inspect.Certificates(parse(t, fixture(t, "good-root.pem")))[0]
	x5c := base64.StdEncoding.EncodeToString(root.Raw)
	bundle := fmt.Sprintf(`{"spiffe_sequence":1,"keys":[{"use":"x509-svid","kty":"EC","x5c":[%q]},`+
		`{"use":"jwt-svid","kid":"a","kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`, x5c)
	for data, want := range map[string]string{
		bundle: "certificate publicKey",
		`{"trust_domains":{"a.example":` + bundle + `,"b.example":` + bundle + `}}`: "certificate publicKey certificate publicKey",
		`{"trust_domains":{"a.example":` + bundle + `,"a.example":` + bundle + `}}`: "document!",
		`{"keys":[{"use":"x509-svid"}]}`:                                            "certificate!",
		`{"keys":[{"use":"x509-svid","x5c":["MAA="]}]}`:                             "certificate!",
	} {
		list, err := inspect.Parse([]byte(data))
		if got := sketch(list); err != nil || got != want {
			t.Errorf("%.60s: %s, %v; want %s", data, got, err, want)
		}
	}
	for _, nothing := range []string{`{"keys":[]}`, `{"keys":`, `{"trust_domains":{}}`} {
		if list, err := inspect.Parse([]byte(nothing)); !errors.Is(err, inspect.ErrNothingFound) {
			t.Errorf("%s: %s, %v", nothing, sketch(list), err)
		}
	}
	list := parse(t, []byte(`{"trust_domains":{"a.example":`+bundle+`}}`))
	if list[0].Within != "trust domain a.example key 1" {
		t.Errorf("within %q", list[0].Within)
	}
}

// TestKubernetesDocuments reads Secrets and their like as kubectl prints them.
func TestKubernetesDocuments(t *testing.T) {
	chain, key := fixture(t, "good-chain.pem"), fixture(t, "good-key.pem")
	encode := base64.StdEncoding.EncodeToString
	secret := "apiVersion: v1\nkind: Secret\nmetadata:\n  namespace: prod\n  name: payment-tls\ndata:\n  tls.crt: " + encode(chain) +
		"\n  tls.key: " + encode(key) + "\n  password: aHVudGVyMg==\n"
	indented := strings.ReplaceAll(string(chain), "\n", "\n    ")
	asJSON, err := json.Marshal(map[string]any{"kind": "List", "items": []any{
		map[string]any{"kind": "Secret", "metadata": map[string]any{"name": "a"}, "data": map[string]string{"tls.crt": encode(chain)}}}})
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]string{
		secret:                    "certificate certificate privateKey",
		secret + "---\n" + secret: "certificate certificate privateKey certificate certificate privateKey",
		"kind: ConfigMap\nmetadata: {name: roots}\ndata:\n  ca.crt: |\n    " + indented + "\n": "certificate certificate",
		"kind: Secret\nstringData:\n  tls.crt: |\n    " + indented + "\n":                      "certificate certificate",
		string(asJSON): "certificate certificate",
		"kind: ClusterTrustBundle\nspec:\n  trustBundle: |\n    " + indented + "\n": "certificate certificate",
		"kind: Secret\ndata:\n  tls.crt: '*'\n":                                     "document!",
		"kind: Secret\ndata:\n  keystore.p12: " + encode(store(t, "good-aes.p12")):  "certificate certificate privateKey",
	} {
		list, err := inspect.Parse([]byte(data))
		if got := sketch(list); err != nil || got != want {
			t.Errorf("%.50q: %s, %v; want %s", data, got, err, want)
		}
	}
	if o := parse(t, []byte(secret))[0]; o.Within != "prod/payment-tls tls.crt" || o.Line != 0 {
		t.Errorf("within %q, line %d", o.Within, o.Line)
	}
	for _, nothing := range []string{"kind: Secret\ndata:\n  password: aHVudGVyMg==\n", "kind: Secret\ndata: [", "kind: Secret\ndata:\n  a: &a [*a, *a]\n"} {
		if list, err := inspect.Parse([]byte(nothing)); !errors.Is(err, inspect.ErrNothingFound) {
			t.Errorf("%q: %s, %v", nothing, sketch(list), err)
		}
	}
}

// TestDamaged shows what can be read of certificates that crypto/x509 refuses.
func TestDamaged(t *testing.T) {
	leaf := inspect.Certificates(parse(t, fixture(t, "good-leaf.pem")))[0]
	twist := func(old, by string) []byte {
		if !strings.Contains(string(leaf.Raw), old) {
			t.Fatalf("%q is not in it", old)
		}
		return []byte(strings.Replace(string(leaf.Raw), old, by, 1))
	}
	for name, c := range map[string]struct {
		der      []byte
		citation string
	}{
		"key usage": {twist("\x03\x02\x07\x80", "\x04\x02\x07\x80"), "RFC 5280, Section 4.2.1.3"},
		"alone":     {leaf.RawTBSCertificate, ""},
		"san":       {twist("spiffe://", "spi\xfffe://"), "RFC 5280, Section 4.2.1.6"},
	} {
		list, err := inspect.Parse(c.der)
		if err != nil || len(list) == 0 || list[0].Damaged == nil || list[0].Err == nil || list[0].Certificate != nil {
			t.Errorf("%s: %s, %v", name, sketch(list), err)
			continue
		}
		r := inspect.Describe(name, list[0], at)
		if r.Certificate == nil || r.Certificate.Name != "payment" || r.Certificate.Serial == "" || r.Error != "" || !slices.Contains(rulesOf(r.Findings), "certificate-malformed") {
			t.Errorf("%s: %+v %+v", name, r.Certificate, r.Findings)
			continue
		}
		if f := r.Findings[0]; c.citation != "" && f.Citation != c.citation {
			t.Errorf("%s: cites %s: %s", name, f.Citation, f.Message)
		}
	}
}
