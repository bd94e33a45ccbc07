package inspect_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// outline is what a test says of parsed objects: kind, line, and whether it failed.
func outline(objects []inspect.Object) string {
	var parts []string
	for i, o := range objects {
		part := fmt.Sprintf("%s@%d", strings.ReplaceAll(o.Kind.String(), " ", "-"), o.Line)
		if o.Err != nil {
			part += "!"
		}
		if o.Encrypted {
			part += "*"
		}
		if o.Index != i+1 {
			part += fmt.Sprintf("#%d", o.Index)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

func TestParseFixtures(t *testing.T) {
	for name, want := range map[string]string{
		"good-leaf.pem":          "certificate@1",
		"good-leaf.der":          "certificate@0",
		"good-chain.pem":         "certificate@1 certificate@14",
		"good-key.pem":           "private-key@1",
		"good-key-encrypted.pem": "private-key@1*",
		"good-request.pem":       "certificate-request@1",
		"good-crl.pem":           "CRL@1",
		"good-noise.pem":         "certificate@3 certificate@16 private-key@28",
		"corrupt-truncated.pem":  "certificate@1 certificate@14!",
		"corrupt-base64.pem":     "certificate@1!",
		"corrupt-labels.pem":     "certificate@1!",
	} {
		if got := outline(parse(t, fixture(t, name))); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestParseDamage(t *testing.T) {
	leaf := string(fixture(t, "good-leaf.pem"))
	body := strings.TrimSuffix(strings.TrimPrefix(leaf, "-----BEGIN CERTIFICATE-----\n"), "-----END CERTIFICATE-----\n")
	request := string(fixture(t, "good-request.pem"))
	for _, c := range []struct{ name, text, outline, says string }{
		{"no END before the next BEGIN", leaf[:200] + "\n" + leaf, "certificate@1! certificate@5", "line 1 has no END: it is cut off after line 4"},
		{"END without BEGIN", "text\n" + body + "-----END CERTIFICATE-----\n" + leaf, "certificate@13! certificate@14", "line 13 has no BEGIN"},
		{"no line break between two", strings.TrimSuffix(leaf, "\n") + leaf, "certificate@1!", "another begins on that same line: put a line break between them"},
		{"BEGIN without its dashes", "-----BEGIN CERTIFICATE---\n" + body + "-----END CERTIFICATE-----\n", "block-of-another-kind@1!", "damaged"},
		{"line breaks lost", strings.ReplaceAll(leaf, "\n", " ") + "\n", "certificate@1!", "line breaks lost"},
		{"line breaks spelt out", strings.ReplaceAll(leaf, "\n", `\n`), "certificate@1!", "line breaks lost"},
		{"BEGIN within a line", "x " + strings.ReplaceAll(leaf, "\n", " "), "block-of-another-kind@0!", "does not start its line"},
		{"bad base64", strings.Replace(leaf, "\n", "\nMII*\n", 1), "certificate@1!", "line 2 is not base64"},
		{"bad base64 on line 4", leaf[:170] + "?" + leaf[171:], "certificate@1!", "line 4 is not base64"},
		{"empty", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "certificate@1!", "is empty"},
		{"wrong label", strings.ReplaceAll(leaf, "CERTIFICATE", "CERTIFICATE REQUEST"), "certificate-request@1!", "called a certificate request and is a certificate"},
		{"other wrong label", strings.ReplaceAll(request, "CERTIFICATE REQUEST", "CERTIFICATE"), "certificate@1!", "called a certificate and is a certificate request"},
		{"indented", strings.ReplaceAll("key: |\n"+leaf, "\n", "\n    "), "certificate@2", ""},
		{"old label", strings.ReplaceAll(request, "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"), "certificate-request@1", ""},
		{"a block that is not read", "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n" + leaf, "block-of-another-kind@1 certificate@4", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := parse(t, []byte(c.text))
			if got := outline(objects); got != c.outline {
				t.Errorf("%s, want %s", got, c.outline)
			}
			said := ""
			for _, o := range objects {
				if o.Err != nil {
					said += o.Err.Error()
				}
			}
			if !strings.Contains(said, c.says) || c.says == "" && said != "" {
				t.Errorf("says %q, want %q", said, c.says)
			}
		})
	}
}

func TestParseNothing(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":    {nil, "it is empty"},
		"text":       {[]byte("hello\n"), "neither PEM"},
		"short":      {[]byte{0x30}, "cut off after 1 byte"},
		"length":     {[]byte{0x30, 0x82, 1}, "cut off after 3 bytes"},
		"indefinite": {[]byte{0x30, 0x80, 0}, "length"},
		"huge":       {[]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0}, "cut off: 7 bytes of 4294967301"},
		"half":       {fixture(t, "corrupt-short.der"), "cut off"},
		"other":      {[]byte{0x30, 3, 2, 1, 5}, "something else"},
	} {
		objects, err := inspect.Parse(c.data)
		if !errors.Is(err, inspect.ErrNothingFound) || len(objects) > 0 {
			t.Errorf("%s: %d objects, %v", name, len(objects), err)
		} else if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q in it", name, err, c.says)
		}
	}
}

func TestParseDER(t *testing.T) {
	root := newRoot(t, "Root")
	leaf := root.leaf(t)
	crl, _ := pem.Decode(crlPEM(t, root))
	request, _ := pem.Decode(fixture(t, "good-request.pem"))
	key := newKey(t)
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	locked, _ := pem.Decode(fixture(t, "good-key-encrypted.pem"))
	for _, c := range []struct {
		name, want string
		parts      [][]byte
	}{
		{"two certificates", "certificate@0 certificate@0", [][]byte{leaf.Raw, root.Raw}},
		{"a line feed behind", "certificate@0", [][]byte{leaf.Raw, []byte("\r\n\x00")}},
		{"rubbish behind", "certificate@0 block-of-another-kind@0!", [][]byte{leaf.Raw, []byte("rubbish")}},
		{"a second cut off", "certificate@0 block-of-another-kind@0!", [][]byte{leaf.Raw, root.Raw[:99]}},
		{"CRL", "CRL@0", [][]byte{crl.Bytes}},
		{"request", "certificate-request@0", [][]byte{request.Bytes}},
		{"SEC 1", "private-key@0", [][]byte{sec1}},
		{"encrypted", "private-key@0*", [][]byte{locked.Bytes}},
		{"public key", "public-key@0", [][]byte{public}},
	} {
		if got := outline(parse(t, bytes.Join(c.parts, nil))); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestParseKeys reads each kind of key in each form, and finds its public half only.
func TestParseKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	xKey, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey := newKey(t)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for _, c := range []struct {
		name, label, kind string
		der               []byte
		public            crypto.PublicKey
	}{
		{"EC PKCS#8", "PRIVATE KEY", "ec-p256", pkcs8(ecKey), ecKey.Public()},
		{"EC SEC 1", "EC PRIVATE KEY", "ec-p256", sec1, ecKey.Public()},
		{"RSA PKCS#8", "PRIVATE KEY", "rsa-2048", pkcs8(rsaKey), rsaKey.Public()},
		{"RSA PKCS#1", "RSA PRIVATE KEY", "rsa-2048", x509.MarshalPKCS1PrivateKey(rsaKey), rsaKey.Public()},
		{"Ed25519", "PRIVATE KEY", "ed25519", pkcs8(edKey), edKey.Public()},
		{"X25519", "PRIVATE KEY", "x25519", pkcs8(xKey), xKey.Public()},
	} {
		block := pem.EncodeToMemory(&pem.Block{Type: c.label, Bytes: c.der})
		for form, data := range map[string][]byte{"PEM": block, "DER": bytes.Clone(c.der)} {
			o := parse(t, data)[0]
			if o.Kind != inspect.KindKey || o.Err != nil || o.DER != nil || !pemfile.SamePublicKey(o.PublicKey, c.public) {
				t.Errorf("%s as %s: %+v", c.name, form, o)
				continue
			}
			r := inspect.Describe("key", o, at)
			if got := r.PrivateKey.PublicKey.Type; got != c.kind {
				t.Errorf("%s as %s is described as %s", c.name, form, got)
			}
			if form == "DER" && !bytes.Equal(data, c.der) {
				t.Errorf("%s: parsing changed the caller's bytes", c.name)
			}
		}
	}
}

// TestKeySecrets breaks a key in many ways and looks for its secret in what is said.
func TestKeySecrets(t *testing.T) {
	key := newKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	hidden := []string{fmt.Sprintf("%x", secret[:8]), strings.Trim(fmt.Sprintf("%d", secret[:6]), "[]"), base64.StdEncoding.EncodeToString(secret[:9]), string(secret[:8])}
	for i := range der {
		broken := bytes.Clone(der)
		broken[i] ^= 0x15
		for _, data := range [][]byte{broken, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: broken})} {
			objects, err := inspect.Parse(data)
			said := fmt.Sprint(err)
			for _, o := range objects {
				if o.Kind == inspect.KindKey {
					said += fmt.Sprintf("%+v %+v", o, inspect.Describe("s", o, at))
				}
			}
			for _, h := range hidden {
				if strings.Contains(said, h) {
					t.Fatalf("byte %d broken: the secret shows in %s", i, said)
				}
			}
		}
	}
}

func TestOldEncryption(t *testing.T) {
	text := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0011\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	if got := outline(parse(t, []byte(text))); got != "private-key@1*" {
		t.Error(got)
	}
}

// TestHugeKey gives up on a key before it costs anything.
func TestHugeKey(t *testing.T) {
	der := append([]byte{0x30, 0x83, 0x0f, 0x00, 0x0e, 2, 1, 0, 2, 1, 1, 2, 1, 1, 4, 0x83, 0x0f, 0x00, 0x00}, make([]byte, 1<<20)...)
	start := time.Now()
	o := parse(t, der)[0]
	if o.Kind != inspect.KindKey || o.Err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("%v, %v, after %v", o.Kind, o.Err, time.Since(start))
	}
}

// TestParseMany is linear: a file of 10,000 certificates, and one of as many
// blocks that open and never close, of which no more are read than anybody needs.
func TestParseMany(t *testing.T) {
	const many, most = 10_000, 25_000
	leaf := fixture(t, "good-leaf.pem")
	for name, c := range map[string]struct {
		data []byte
		want int
	}{
		"certificates": {bytes.Repeat(leaf, many), many},
		"open blocks":  {bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n"), 10*many), most + 1},
		"open noise":   {append([]byte("-----BEGIN CERTIFICATE-----\n"), bytes.Repeat([]byte("AAAA\n-----"), 100*many)...), 1},
		"ends":         {bytes.Repeat([]byte("-----END CERTIFICATE-----\n"), 10*many), most + 1},
	} {
		start := time.Now()
		objects := parse(t, c.data)
		if took := time.Since(start); took > 10*time.Second || len(objects) != c.want {
			t.Errorf("%s: %d objects after %v", name, len(objects), took)
		}
	}
}
