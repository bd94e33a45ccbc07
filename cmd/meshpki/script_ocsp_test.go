package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ocsp"
)

// ocsp-answer SAYS LEAF CA CA-KEY OUT writes what a responder says of the first
// certificate of LEAF: good, revoked, unknown, or stale, which was good a while ago. OUT is
// PEM where its name says so, else DER.
func ocspAnswer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: ocsp-answer good|revoked|unknown|stale leaf ca ca-key out")
	}
	leaf, ca := certificatesIn(ts, args[1])[0], certificatesIn(ts, args[2])[0]
	block, _ := pem.Decode([]byte(ts.ReadFile(args[3])))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	ts.Check(err)
	status, known := map[string]int{"good": ocsp.Good, "stale": ocsp.Good, "revoked": ocsp.Revoked, "unknown": ocsp.Unknown}[args[0]]
	if !known {
		ts.Fatalf("%s is nothing that a responder says", args[0])
	}
	answer := ocsp.Response{Status: status, SerialNumber: leaf.SerialNumber, ThisUpdate: leaf.NotBefore, NextUpdate: leaf.NotBefore.Add(time.Hour),
		RevokedAt: leaf.NotBefore, RevocationReason: ocsp.KeyCompromise}
	if args[0] == "stale" {
		answer.NextUpdate = leaf.NotBefore.Add(time.Minute)
	}
	out, err := ocsp.CreateResponse(ca, ca, answer, key.(crypto.Signer))
	ts.Check(err)
	if strings.HasSuffix(args[4], ".pem") {
		out = pem.EncodeToMemory(&pem.Block{Type: "OCSP RESPONSE", Bytes: out})
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[4]), out, 0o600))
}
