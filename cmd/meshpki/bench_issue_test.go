//go:build bench && unix

package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestBenchIssueFile measures issue --file against bare loops on all cores that do the
// least that has to be done and sync nothing, and prints a table. It judges nothing.
// Each round has a directory of its own, and nothing is removed before the end: a
// file system that has just lost many files is slow to make others.
func TestBenchIssueFile(t *testing.T) {
	b := newBench(t)
	var bare, ours, again, read spent
	list := b.manifest(due)
	for round := range 3 {
		syscall.Sync() // neither waits for what the other has left to write
		bare.add(b.here(func() { b.makeOnAllCores(due, fmt.Sprintf("bare-%d", round)) }))
		dir := b.file(fmt.Sprintf("pki-%d", round))
		succeed(b.t, meshpki(b.t), "ca", "init", "--dir", dir)
		syscall.Sync()
		ours.add(b.once([]string{meshpki(b.t), "issue", "--file", list, "--dir", dir}))
		again.add(b.once([]string{meshpki(b.t), "issue", "--file", list, "--dir", dir}))
		must(b.t, os.RemoveAll(b.file("pki")))
		must(b.t, os.Symlink(filepath.Base(dir), b.file("pki")))
		read.add(b.here(func() { b.readAll(due) }))
	}
	b.row(fmt.Sprintf("bare loop on %d cores: %d keys, certificates and sets of files", runtime.NumCPU(), due), bare.String(), "")
	b.row(fmt.Sprintf("issue --file of %d services", due), ours.String(), "")
	b.ratio("  rate, ours to bare", bare.wall, ours.wall, "at least 0.6")
	b.ratio("  the same in CPU time", bare.cpu, ours.cpu, "")
	b.row("bare loop: read and parse them", read.String(), "")
	b.row("issue --file again, all fresh", again.String(), "")
	b.ratio("  again / bare loop", again.wall, read.wall, "at most 2")
	b.ratio("  the same in CPU time", again.cpu, read.cpu, "")
	for _, n := range []int{1_000, fleet()} {
		dir := b.file(fmt.Sprintf("pki-of-%d", n))
		succeed(b.t, meshpki(b.t), "ca", "init", "--dir", dir)
		argv := []string{meshpki(b.t), "issue", "--file", b.manifest(n), "--dir", dir}
		b.row(fmt.Sprintf("peak memory, %d services issued", n), fmt.Sprintf("%.0f MB", b.peak(argv)), "under 150 MB")
		b.row("  all fresh", fmt.Sprintf("%.0f MB", b.peak(argv)), "under 150 MB")
	}
	b.print(3)
}

// manifest lists services under the names of service.
func (b *bench) manifest(n int) string {
	b.t.Helper()
	var text bytes.Buffer
	text.WriteString("apiVersion: meshpki/v1\nservices:\n")
	for i := range n {
		fmt.Fprintf(&text, "- name: %s\n", filepath.Base(b.service(i)))
	}
	name := b.file(fmt.Sprintf("list-%d.yaml", n))
	must(b.t, os.WriteFile(name, text.Bytes(), 0o644))
	return name
}

// makeOnAllCores makes keys, certificates and files, and waits for no disk.
func (b *bench) makeOnAllCores(n int, under string) {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.file("pki"), "keys", "issuing.key"))
	must(b.t, err)
	block, _ := pem.Decode(data)
	signer, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(b.t, err)
	issuer := certificates(b.t, filepath.Join(b.file("pki"), "ca", "issuing.crt"))[0]
	roots, err := os.ReadFile(filepath.Join(b.file("pki"), "ca", "root.crt"))
	must(b.t, err)
	var all sync.WaitGroup
	failed := make([]error, runtime.NumCPU())
	for worker := range failed {
		all.Go(func() {
			for i := worker; i < n && failed[worker] == nil; i += len(failed) {
				name := filepath.Base(b.service(i))
				failed[worker] = makeBare(filepath.Join(b.file(under), name), name, issuer, signer.(crypto.Signer), roots)
			}
		})
	}
	all.Wait()
	for _, err := range failed {
		must(b.t, err)
	}
}

func makeBare(dir, name string, issuer *x509.Certificate, signer crypto.Signer, roots []byte) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 1, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{name + ".default", name + ".default.svc", name + ".default.svc.cluster.local", name}}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Raw})...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{"tls.crt", chain, 0o644}, {"tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600}, {"ca.crt", roots, 0o644}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}
