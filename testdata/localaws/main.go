// Command localaws runs an AWS Private CA on this machine, to try things out with: it
// speaks the service's own protocol, signs with real keys, and forgets everything when
// it ends. It opens nothing at AWS.
//
//	go run ./testdata/localaws
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/meshpki/meshpki/backends/awspca/localaws"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "localaws:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:4577", "the `address` to listen on")
	delay := flag.Duration("delay", time.Second, "how long a certificate takes")
	quota := flag.Float64("quota", 25, "how many certificates may be asked for in a second")
	flag.Parse()
	s := &localaws.Server{Now: time.Now}
	s.Configure(func(r *localaws.Rules) {
		r.Delay = *delay
		r.Quotas = map[string]float64{"IssueCertificate": *quota, "GetCertificate": 75, "DescribeCertificateAuthority": 20,
			"GetCertificateAuthorityCertificate": 20, "RevokeCertificate": 20, "GetCertificateAuthorityCsr": 10}
	})
	arns := map[string]string{}
	for _, a := range []struct {
		name, under string
		spec        localaws.Spec
	}{
		{"ROOT", "", localaws.Spec{CommonName: "Example Root CA"}},
		{"CA", "ROOT", localaws.Spec{CommonName: "Example issuing CA", Life: 3 * 365 * 24 * time.Hour}},
		{"SHORT", "ROOT", localaws.Spec{CommonName: "Example short-lived CA", Mode: localaws.ShortLived, Life: 365 * 24 * time.Hour}},
		{"WAITING", "", localaws.Spec{CommonName: "Example waiting CA", Waiting: true}},
	} {
		a.spec.Under = arns[a.under]
		arn, err := s.Make(a.spec)
		if err != nil {
			return err
		}
		arns[a.name] = arn
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	key := localaws.ExampleKey()
	fmt.Printf("export AWS_ENDPOINT_URL_ACM_PCA=http://%s\nexport AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\n", l.Addr(), key.ID, key.Secret)
	for _, name := range []string{"ROOT", "CA", "SHORT", "WAITING"} {
		fmt.Printf("export %s=%s\n", name, arns[name])
	}
	return (&http.Server{Handler: s, ReadHeaderTimeout: time.Minute}).Serve(l)
}
