// Spire-disk has SPIRE's own upstream authority `disk` load what meshpki exports, by
// the configuration that is exported with it, has a CA of SPIRE's server signed by it,
// judges that with SPIRE's validator, and signs a workload with it. It prints the
// chain of the workload's SVID, which go-spiffe has verified against the bundle.
//
//	spire-disk CONFIGURATION TRUST-DOMAIN
//	spire-disk -svid CHAIN BUNDLE SPIFFE-ID     judges an SVID of meshpki's own
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/printer"
	"github.com/sirupsen/logrus"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/spire/pkg/common/catalog"
	"github.com/spiffe/spire/pkg/common/health"
	"github.com/spiffe/spire/pkg/common/pemutil"
	"github.com/spiffe/spire/pkg/common/telemetry"
	"github.com/spiffe/spire/pkg/server/ca"
	"github.com/spiffe/spire/pkg/server/credtemplate"
	"github.com/spiffe/spire/pkg/server/credvalidator"
	"github.com/spiffe/spire/pkg/server/plugin/upstreamauthority"
	"github.com/spiffe/spire/pkg/server/plugin/upstreamauthority/disk"
)

func main() {
	var err error
	if len(os.Args) == 5 && os.Args[1] == "-svid" {
		err = judge(os.Args[2], os.Args[3], os.Args[4])
	} else {
		err = run(os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pluginData is what the configuration has between the braces of plugin_data.
func pluginData(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var conf struct {
		UpstreamAuthority map[string]struct {
			PluginData ast.Node `hcl:"plugin_data"`
		}
	}
	if err := hcl.Decode(&conf, string(text)); err != nil {
		return "", err
	}
	one, ok := conf.UpstreamAuthority["disk"]
	if !ok {
		return "", errors.New("there is no UpstreamAuthority disk in the configuration")
	}
	var out writer
	if err := printer.DefaultConfig.Fprint(&out, one.PluginData); err != nil {
		return "", err
	}
	return string(out), nil
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// parts are what a server of SPIRE has for a trust domain.
func parts(td spiffeid.TrustDomain) (*credtemplate.Builder, *credvalidator.Validator, error) {
	builder, err := credtemplate.NewBuilder(credtemplate.Config{TrustDomain: td})
	if err != nil {
		return nil, nil, err
	}
	validator, err := credvalidator.New(credvalidator.Config{TrustDomain: td})
	return builder, validator, err
}

func run(conf, domain string) error {
	ctx := context.Background()
	td, err := spiffeid.TrustDomainFromString(domain)
	if err != nil {
		return err
	}
	data, err := pluginData(conf)
	if err != nil {
		return err
	}
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	loaded, err := catalog.LoadBuiltIn(ctx, disk.BuiltIn(), catalog.BuiltInConfig{Log: quiet})
	if err != nil {
		return err
	}
	var upstream upstreamauthority.V1
	configurer, err := loaded.Bind(&upstream)
	if err != nil {
		return err
	}
	if err := configurer.Configure(ctx, catalog.CoreConfig{TrustDomain: td}, data); err != nil {
		return fmt.Errorf("configure disk: %w", err)
	}
	builder, validator, err := parts(td)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := builder.BuildUpstreamSignedX509CACSR(ctx, credtemplate.UpstreamSignedX509CAParams{PublicKey: key.Public()})
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return err
	}
	chain, anchors, stream, err := upstream.MintX509CA(ctx, csr, time.Hour)
	if err != nil {
		return fmt.Errorf("mint: %w", err)
	}
	defer stream.Close()
	var roots []*x509.Certificate
	for _, a := range anchors {
		roots = append(roots, a.Certificate)
	}
	judge := ca.X509CAValidator{TrustDomain: td, CredValidator: validator, Signer: key}
	if err := judge.ValidateUpstreamX509CA(chain, roots); err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	server := ca.NewCA(ca.Config{Log: quiet, Metrics: telemetry.Blackhole{}, TrustDomain: td, CredBuilder: builder, CredValidator: validator, HealthChecker: noHealth{}})
	server.SetX509CA(&ca.X509CA{Signer: key, Certificate: chain[0], UpstreamChain: chain})
	id, err := spiffeid.FromSegments(td, "ns", "prod", "sa", "payment")
	if err != nil {
		return err
	}
	workload, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	svid, err := server.SignWorkloadX509SVID(ctx, ca.WorkloadX509SVIDParams{PublicKey: workload.Public(), SPIFFEID: id})
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if _, _, err := x509svid.Verify(svid, x509bundle.FromX509Authorities(td, roots)); err != nil {
		return err
	}
	for _, c := range svid {
		if err := pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return err
		}
	}
	return nil
}

// noHealth has no health to tell.
type noHealth struct{}

func (noHealth) AddCheck(string, health.Checkable) error { return nil }

// judge holds an SVID against SPIRE's rules for one, and its chain against the bundle.
func judge(chainFile, bundleFile, text string) error {
	id, err := spiffeid.FromString(text)
	if err != nil {
		return err
	}
	chain, err := pemutil.LoadCertificates(chainFile)
	if err != nil {
		return err
	}
	_, validator, err := parts(id.TrustDomain())
	if err != nil {
		return err
	}
	if err := validator.ValidateX509SVID(chain[0], id); err != nil {
		return err
	}
	bundle, err := x509bundle.Load(id.TrustDomain(), bundleFile)
	if err != nil {
		return err
	}
	_, _, err = x509svid.Verify(chain, bundle)
	return err
}
