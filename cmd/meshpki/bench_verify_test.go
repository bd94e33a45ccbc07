//go:build bench && unix

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// leaves is how many files verify and inspect are measured over.
const leaves = 10_000

// TestBenchVerify measures verify of one file and of many, and inspect of many, beside
// OpenSSL and beside bare loops on one core that do the least that has to be done. It
// judges nothing.
func TestBenchVerify(t *testing.T) {
	b := newBench(t)
	b.verifyOne()
	files := b.leafFiles(leaves)
	roots, between := b.file("pki/ca/root.crt"), b.file("pki/ca/issuing.crt")
	var ours, openssl, bare, told, listed, parsed spent
	for range 7 {
		ours.add(b.once(append([]string{meshpki(t), "verify", "--roots", roots, "--intermediates", between, "--format", "json"}, files...)))
		openssl.add(b.once(append([]string{program(t, "openssl"), "verify", "-CAfile", roots, "-untrusted", between}, files...)))
		bare.add(b.here(func() { b.verifyBare(files, roots, between) }))
		told.add(b.once([]string{meshpki(t), "verify", "--roots", roots, "--intermediates", between, b.file("leaves")}))
		listed.add(b.once([]string{meshpki(t), "inspect", "--json", b.file("leaves")}))
		parsed.add(b.here(func() { b.parseBare(files) }))
	}
	b.row(fmt.Sprintf("openssl verify, %d files in one process", leaves), openssl.String(), "")
	b.row("bare loop: read, parse, crypto/x509 Verify", bare.String(), "")
	b.row("verify --format json", ours.String(), "")
	b.ratio("  verify / openssl", ours.wall, openssl.wall, "at most 1")
	b.ratio("  the same in CPU time", ours.cpu, openssl.cpu, "")
	b.ratio("  rate, ours to the bare loop", bare.wall, ours.wall, "at least 0.7")
	b.ratio("  the same in CPU time", bare.cpu, ours.cpu, "")
	b.row("verify of the directory, as text", told.String(), "")
	b.row("bare loop: read and parse", parsed.String(), "")
	b.row("inspect --json of the directory", listed.String(), "")
	b.ratio("  inspect / bare loop", listed.wall, parsed.wall, "at most 2")
	b.ratio("  the same in CPU time", listed.cpu, parsed.cpu, "")
	b.print(7)
}

// verifyOne compares verify of one file, above what a process takes to start, with OpenSSL.
func (b *bench) verifyOne() {
	b.t.Helper()
	succeed(b.t, meshpki(b.t), "issue", "--service", "payment", "--dir", b.file("pki"))
	leaf, roots, between := b.file("pki/services/default/payment/tls.crt"), b.file("pki/ca/root.crt"), b.file("pki/ca/issuing.crt")
	times := b.compare(b.meshpki("version"), b.meshpki("verify", leaf, "--roots", roots),
		func(int) []string {
			return []string{program(b.t, "openssl"), "verify", "-CAfile", roots, "-untrusted", between, leaf}
		})
	above := make([]float64, len(times[0]))
	for i := range above {
		above[i] = times[1][i] - times[0][i]
	}
	b.row("openssl verify, one file", ms(median(times[2])), "")
	b.row("verify, one file, less version", ms(median(above)), "")
	b.ratio("  the same / openssl", above, times[2], "at most 0.7")
}

// leafFiles makes so many files of one leaf each, all different.
func (b *bench) leafFiles(n int) []string {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.file("pki"), "keys", "issuing.key"))
	must(b.t, err)
	block, _ := pem.Decode(data)
	signer, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(b.t, err)
	issuer := certificates(b.t, filepath.Join(b.file("pki"), "ca", "issuing.crt"))[0]
	must(b.t, os.Mkdir(b.file("leaves"), 0o755))
	files := make([]string, n)
	for i := range files {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(b.t, err)
		name := fmt.Sprintf("service-%06d", i)
		template := &x509.Certificate{SerialNumber: big.NewInt(1<<40 + int64(i)), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 0, 30),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
			URIs:     []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/default/sa/" + name}},
			DNSNames: []string{name + ".default", name + ".default.svc", name + ".default.svc.cluster.local", name}}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer.(crypto.Signer))
		must(b.t, err)
		files[i] = filepath.Join(b.file("leaves"), name+".pem")
		must(b.t, os.WriteFile(files[i], pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	}
	return files
}

// parseOne reads and parses the one certificate of a file.
func (b *bench) parseOne(name string) *x509.Certificate {
	data, err := os.ReadFile(name)
	must(b.t, err)
	block, _ := pem.Decode(data)
	c, err := x509.ParseCertificate(block.Bytes)
	must(b.t, err)
	return c
}

func (b *bench) parseBare(files []string) {
	for _, name := range files {
		b.parseOne(name)
	}
}

func (b *bench) verifyBare(files []string, roots, between string) {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	o.Roots.AddCert(b.parseOne(roots))
	o.Intermediates.AddCert(b.parseOne(between))
	for _, name := range files {
		_, err := b.parseOne(name).Verify(o)
		must(b.t, err)
	}
}
