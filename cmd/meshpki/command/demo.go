package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
)

func demoCommand() *command {
	return &command{
		name:    "demo",
		summary: "show mutual TLS between two services, and the calls that must fail",
		about: "In a temporary directory it makes a root, an intermediate, and certificates for the services payment and " +
			"account; starts both as HTTP servers on the loopback address; lets payment send account a transaction over mutual " +
			"TLS; and then makes the calls that must be refused, each with its reason. It takes a second and leaves nothing behind.",
		examples: []example{{"watch it", "meshpki demo"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage),
		flags:    common(),
		run:      runDemo,
	}
}

// demo is the stage: a directory with an authority, and the two services.
type demo struct {
	c                *call
	dir              *file.Directory
	roots            *x509.CertPool
	payment, account *demoService
}

func runDemo(ctx context.Context, c *call) (err error) {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tmp, err := os.MkdirTemp("", "meshpki-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	d := &demo{c: c}
	doc, err := d.build(ctx, filepath.Join(tmp, "pki"))
	if err != nil {
		return err
	}
	defer d.close()
	doc.Calls, err = d.calls(ctx)
	if err != nil {
		return err
	}
	if err := c.say(doc); err != nil {
		return err
	}
	for _, call := range doc.Calls {
		if call.Accepted != call.Wanted {
			return fmt.Errorf("%s: it was to be %s", call.What, map[bool]string{true: "accepted", false: "refused"}[call.Wanted])
		}
	}
	return nil
}

// build makes the authority and the services, and starts them.
func (d *demo) build(ctx context.Context, path string) (ui.Demo, error) {
	var doc ui.Demo
	now := d.c.env.Now()
	life := func(t time.Duration) (time.Time, time.Time) { return now.Add(-ca.Backdate), now.Add(t) }
	o := file.InitOptions{KeyType: ca.ECP256, Now: d.c.env.Now,
		Settings: file.Settings{Name: "Demo", TrustDomain: "cluster.local", ClusterDomain: "cluster.local", Issuing: "issuing"},
		Root:     ca.Spec{CommonName: "Demo Root CA", MaxPathLen: -1},
		Issuing:  ca.Spec{CommonName: "Demo issuing CA"}}
	o.Root.NotBefore, o.Root.NotAfter = life(rootValidity)
	o.Issuing.NotBefore, o.Issuing.NotAfter = life(intermediateValidity)
	var err error
	if d.dir, err = file.Init(ctx, path, o); err != nil {
		return doc, err
	}
	all, err := d.dir.Authorities()
	if err != nil {
		return doc, err
	}
	doc.Authorities, doc.Now = describeAuthorities(all, now), now
	d.roots = x509.NewCertPool()
	for _, a := range all {
		if a.Root() {
			d.roots.AddCert(a.Certificate)
		}
	}
	for _, s := range []struct {
		name  string
		place **demoService
	}{{"payment", &d.payment}, {"account", &d.account}} {
		issued, err := d.issue(ctx, s.name)
		if err != nil {
			return doc, err
		}
		doc.Services = append(doc.Services, issued.document())
		if *s.place, err = d.start(ctx, s.name, issued); err != nil {
			return doc, err
		}
	}
	return doc, nil
}

// issue issues for a service as meshpki issue does.
func (d *demo) issue(ctx context.Context, service string) (*issued, error) {
	j := &job{c: d.c, dir: d.dir, record: issue.Record{Service: service, Profile: "workload", KeyType: string(ca.ECP256)}}
	settle(&j.record, d.dir, nil)
	if err := j.places(nil, nil, "", ""); err != nil {
		return nil, err
	}
	issuer, err := d.dir.Issuer("", file.KeySource{})
	if err != nil {
		return nil, err
	}
	return j.issue(ctx, issuer)
}

// expired is a credential of payment's that has run out: made by the same CA as if
// it were four minutes ago.
func (d *demo) expired(ctx context.Context) (*tls.Certificate, error) {
	issuer, err := d.dir.Issuer("", file.KeySource{})
	if err != nil {
		return nil, err
	}
	then := d.c.env.Now().Add(-4 * time.Minute)
	issuer.Now = func() time.Time { return then }
	return obtainTLS(ctx, issuer, "payment", then, then.Add(2*time.Minute))
}

// stranger is a credential that calls itself payment, of another authority.
func (d *demo) stranger(ctx context.Context) (*tls.Certificate, error) {
	now := d.c.env.Now()
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		return nil, err
	}
	spec := ca.Spec{CommonName: "Somebody's Root CA", MaxPathLen: -1, NotBefore: now.Add(-ca.Backdate), NotAfter: now.Add(24 * time.Hour)}
	root, err := ca.NewRoot(ctx, spec, key, nowhere{}, now)
	if err != nil {
		return nil, err
	}
	issuer := &ca.Issuer{Certificate: root, Signer: key, Ledger: nowhere{}, Now: d.c.env.Now}
	return obtainTLS(ctx, issuer, "payment", now, now.Add(time.Hour))
}

// member is a sound credential of a service of the same mesh.
func (d *demo) member(ctx context.Context, service string) (*tls.Certificate, error) {
	issuer, err := d.dir.Issuer("", file.KeySource{})
	if err != nil {
		return nil, err
	}
	now := d.c.env.Now()
	return obtainTLS(ctx, issuer, service, now, now.Add(time.Hour))
}

// obtainTLS gets a credential in memory, for a TLS client.
func obtainTLS(ctx context.Context, authority ca.Authority, service string, now, notAfter time.Time) (*tls.Certificate, error) {
	r := issue.Record{Service: service, Namespace: "default", TrustDomain: "cluster.local", Cluster: "cluster.local"}
	order, _, err := r.Order(ca.Profile{}, nil, now, notAfter)
	if err != nil {
		return nil, err
	}
	c, err := issue.Obtain(ctx, authority, order, now)
	if err != nil {
		return nil, err
	}
	out := &tls.Certificate{PrivateKey: c.Key}
	for _, cert := range c.Chain {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out, nil
}
