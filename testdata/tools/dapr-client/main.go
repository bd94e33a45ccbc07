// Dapr-client asks a sentry of Dapr for the certificate of a workload, as a sidecar
// does, and prints the chain that it gets.
//
//	dapr-client ADDRESS ROOTS SENTRYS-SPIFFE-ID TRUST-DOMAIN NAMESPACE APP
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	sentryv1 "github.com/dapr/dapr/pkg/proto/sentry/v1"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func main() {
	chain, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s", chain)
}

func run(args []string) ([]byte, error) {
	address, roots, server, domain, namespace, app := args[0], args[1], args[2], args[3], args[4], args[5]
	id, err := spiffeid.FromString(server)
	if err != nil {
		return nil, err
	}
	bundle, err := x509bundle.Load(id.TrustDomain(), roots)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(tlsconfig.TLSClientConfig(bundle, tlsconfig.AuthorizeID(id)))))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := sentryv1.NewCAClient(conn).SignCertificate(ctx, &sentryv1.SignCertificateRequest{
		Id: app, Namespace: namespace, TrustDomain: domain, TokenValidator: sentryv1.SignCertificateRequest_INSECURE,
		CertificateSigningRequest: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}),
	})
	if err != nil {
		return nil, err
	}
	return answer.GetWorkloadCertificate(), nil
}
