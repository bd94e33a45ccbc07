// Istio-ca loads plugged-in CA certificates as istiod does, in either layout of the
// Secret cacerts, and signs for a workload. It prints the chain that the workload gets.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"istio.io/istio/security/pkg/pki/ca"
	"istio.io/istio/security/pkg/pki/util"
)

func main() {
	chain, err := run(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(strings.Join(chain, ""))
}

func run(dir string) ([]string, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	bundle := ca.SigningCAFileBundle{RootCertFile: in("root-cert.pem"), CertChainFiles: []string{in("cert-chain.pem")},
		SigningCertFile: in("ca-cert.pem"), SigningKeyFile: in("ca-key.pem")}
	if _, err := os.Stat(in("ca-crl.pem")); err == nil {
		bundle.CRLFile = in("ca-crl.pem")
	}
	if _, err := os.Stat(in("tls.crt")); err == nil {
		bundle = ca.SigningCAFileBundle{RootCertFile: in("ca.crt"), CertChainFiles: []string{in("tls.crt"), in("ca.crt")},
			SigningCertFile: in("tls.crt"), SigningKeyFile: in("tls.key")}
	}
	options, err := ca.NewPluggedCertIstioCAOptions(bundle, time.Hour, 24*time.Hour, 2048)
	if err != nil {
		return nil, err
	}
	authority, err := ca.NewIstioCA(options)
	if err != nil {
		return nil, err
	}
	const id = "spiffe://cluster.local/ns/prod/sa/payment"
	csr, _, err := util.GenCSR(util.CertOptions{Host: id, ECSigAlg: util.EcdsaSigAlg, ECCCurve: util.P256Curve})
	if err != nil {
		return nil, err
	}
	return authority.SignWithCertChain(csr, ca.CertOpts{SubjectIDs: []string{id}, TTL: time.Hour})
}
