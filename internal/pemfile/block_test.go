package pemfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// sameAsPEM holds next against pem.Decode.
func sameAsPEM(t *testing.T, data []byte) {
	t.Helper()
	want, wantRest := pem.Decode(data)
	kind, der, rest, ok := next(data)
	if ok != (want != nil) || ok && (kind != want.Type || !bytes.Equal(der, want.Bytes)) || !bytes.Equal(rest, wantRest) {
		t.Errorf("%q: %s %x, %q; and not %+v, %q", data, kind, der, rest, want, wantRest)
	}
}

func TestBlocks(t *testing.T) {
	der := make([]byte, 300)
	_, _ = rand.Read(der)
	for _, size := range []int{0, 1, 2, 3, 47, 48, 49, 95, 96, 97, 144, 300} {
		for _, kind := range []string{TypeCertificate, TypeKey} {
			want := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der[:size]})
			got := appendBlock(nil, kind, der[:size])
			if !bytes.Equal(got, want) || len(got) != blockSize(kind, size) {
				t.Errorf("%d bytes: %q, of %d, and not %q", size, got, blockSize(kind, size), want)
			}
			if _, _, _, ok := usual(got); ok != (kind == TypeCertificate && size > 0) {
				t.Errorf("%d bytes of %s: the usual form is not known", size, kind)
			}
			for _, text := range []string{string(got), string(got) + string(got), string(got) + "\n" + string(got), "text\n" + string(got), string(got) + "text",
				strings.ReplaceAll(string(got), "\n", "\r\n"), strings.TrimSuffix(string(got), "\n"), strings.TrimSuffix(string(got), "\n") + " \n",
				strings.Replace(string(got), "\n", "\n\n", 1), strings.Replace(string(got), "\n", "\nA: b\n\n", 1), strings.Replace(string(got), "\n", " \n", 2),
				strings.Replace(string(got), "\n-----END", "=\n-----END", 1), strings.Replace(string(got), "\n-----END", "\n\n-----END", 1),
				strings.Replace(string(got), "\n-----END", "-----END", 1), strings.Replace(string(got), "END CERT", "END XERT", 1), string(got)[:len(got)/2] + string(got),
				strings.Replace(string(got), "AA", "A\n", 1), string(got[:len(begin)+len(kind)+len(dashes)]) + string(got)} {
				sameAsPEM(t, []byte(text))
			}
		}
	}
}

func FuzzBlocks(f *testing.F) {
	f.Add(pem.EncodeToMemory(&pem.Block{Type: TypeCertificate, Bytes: make([]byte, 100)}))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sameAsPEM(t, data)
		sameAsPEM(t, append([]byte(begin+TypeCertificate+dashes), data...))
		sameAsPEM(t, append(append([]byte(begin+TypeCertificate+dashes), data...), end+TypeCertificate+dashes...))
	})
}

// TestMarshalKey: a key is encoded as crypto/x509 does it.
func TestMarshalKey(t *testing.T) {
	keys := []crypto.Signer{}
	for range 50 { // some of whose numbers begin with zeros
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	small, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), 1))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range append(keys, small, other, ed) {
		want, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := marshalKey(k)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%T: another encoding than that of crypto/x509, error %v", k, err)
		}
	}
}
