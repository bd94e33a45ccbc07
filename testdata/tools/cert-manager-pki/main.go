// Cert-manager-pki reads the Secret of a CA Issuer as cert-manager does, and says what
// it would give to those that it certifies: tls.crt and ca.crt of a leaf.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run reads a chain and its key.
func run(chainFile, keyFile string) error {
	chain, err := os.ReadFile(chainFile)
	if err != nil {
		return err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	certs, err := pki.DecodeX509CertificateChainBytes(chain)
	if err != nil {
		return fmt.Errorf("decode the chain: %w", err)
	}
	if !certs[0].IsCA {
		return fmt.Errorf("the first certificate is no CA")
	}
	key, err := pki.DecodePrivateKeyBytes(keyPEM)
	if err != nil {
		return fmt.Errorf("decode the key: %w", err)
	}
	matches, err := pki.PublicKeyMatchesCertificate(key.Public(), certs[0])
	if err != nil || !matches {
		return fmt.Errorf("the key is not the certificate's: %v", err)
	}
	bundle, err := pki.ParseSingleCertificateChainPEM(chain)
	if err != nil {
		return fmt.Errorf("parse the chain: %w", err)
	}
	fmt.Printf("chain %d, ca %t\n", bytes.Count(bundle.ChainPEM, []byte("BEGIN")), len(bundle.CAPEM) > 0)
	return nil
}
