package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// tamper FILE OUT changes the last octet of the first certificate of a file, which
// is in its signature.
func tamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tamper file out")
	}
	block, rest := pem.Decode([]byte(ts.ReadFile(args[0])))
	if block == nil {
		ts.Fatalf("%s is not PEM", args[0])
	}
	block.Bytes[len(block.Bytes)-1] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), append(pem.EncodeToMemory(block), rest...), 0o644))
}

// fingerprint FILE sets FINGERPRINT to that of the first certificate of a file, as
// OpenSSL writes it: in upper case, with colons.
func fingerprint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fingerprint file")
	}
	sum := sha256.Sum256(certificatesIn(ts, args[0])[0].Raw)
	ts.Setenv("FINGERPRINT", strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":"))
}

// hostilecsr OUT writes a request whose names would work on a terminal, signed with
// the key that it is for.
func hostileCSR(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hostilecsr out")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "a\x1b[2J\u202eb\n\x07c"},
		DNSNames: []string{"x\x1b[31m"},
	}, key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o644))
}
