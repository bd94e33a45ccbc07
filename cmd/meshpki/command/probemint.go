package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
)

// probeLife is how long a certificate that is made to probe with lives.
const probeLife = 5 * time.Minute

// probeNote is what the ledger says of such a certificate.
const probeNote = "probe"

// mint has an authority make what was not given: the one that was named, that of the
// manifest, or the directory's own.
func (p *prober) mint(ctx context.Context) error {
	m, err := p.c.manifest()
	if err != nil {
		return err
	}
	if ref := orElse(p.c.String("backend"), backendOf(m)); !isLocal(ref) && !p.c.env.Registry.Local(ref, p.c.options()) {
		return p.mintElsewhere(ctx, ref, m)
	} else if name, found := strings.CutPrefix(ref, "local:"); found {
		return p.mintHere(ctx, name)
	}
	return p.mintHere(ctx, "")
}

// mintHere has one of the directory's authorities make them.
func (p *prober) mintHere(ctx context.Context, name string) error {
	d, err := p.c.openToSign()
	if err != nil {
		return err
	}
	issuer, err := d.Issuer(name, file.KeySource{Open: p.c.openKey, Passphrase: p.c.passphraseFor})
	if err != nil {
		return err
	}
	issuer.Ledger = probeLedger{issuer.Ledger}
	for i := range p.clients {
		client := &p.clients[i]
		if client.cert != nil || client.without {
			continue
		}
		then, end := p.c.env.Now(), p.c.env.Now().Add(probeLife)
		if client.name == ui.ProbeExpired {
			// It is made as if it were a while ago, when the authority must have been there.
			end = then.Add(-time.Minute)
			if then = end.Add(-probeLife); then.Before(issuer.Certificate.NotBefore) {
				then = issuer.Certificate.NotBefore
			}
		}
		issuer.Now = func() time.Time { return then }
		if client.cert, err = probeCredential(ctx, issuer, d.Settings().TrustDomain, client.name, then, end); err != nil {
			return fmt.Errorf("make a certificate to probe with: %w", err)
		}
		client.minted = true
	}
	return nil
}

// mintElsewhere has an authority elsewhere make them. None makes one that has expired
// already: that client is not tried.
func (p *prober) mintElsewhere(ctx context.Context, ref string, m *config.Manifest) error {
	d, err := p.c.openToIssue(ctx, ref, m)
	if err != nil {
		return err
	}
	authority, err := p.c.authority(ctx, ref)
	if err != nil {
		return err
	}
	now := p.c.env.Now()
	for i := range p.clients {
		client := &p.clients[i]
		if client.cert != nil || client.without || client.name == ui.ProbeExpired {
			continue
		}
		order, err := probeOrder(d.Settings().TrustDomain, client.name, now, now.Add(probeLife))
		if err == nil {
			client.cert, err = orderedProbe(ctx, authority, d.Ledger(), ref, order, now)
		}
		if err != nil {
			return fmt.Errorf("have %s make a certificate to probe with: %w", ref, err)
		}
		client.minted = true
	}
	return nil
}

// orderedProbe has an order signed elsewhere, and records before what is asked for and
// after it what came.
func orderedProbe(ctx context.Context, authority ca.Authority, ledger ca.Ledger, ref string, order issue.Order, now time.Time) (*tls.Certificate, error) {
	if err := order.Seal(); err != nil {
		return nil, err
	}
	order.Token = issue.TokenOf(order.CSR, order.Validity.NotAfter)
	order.Pending = func([]byte) error { return nil } // the next probe asks anew
	request, err := x509.ParseCertificateRequest(order.CSR)
	if err != nil {
		return nil, err
	}
	token := hex.EncodeToString(order.Token[:])
	intent := ca.Entry{Kind: ca.KindIntent, At: now.UTC().Truncate(time.Second), Key: ca.KeyFingerprint(request.RawSubjectPublicKeyInfo),
		Token: token, Service: order.Service, Namespace: order.Namespace, Note: ref}
	if err := ledger.Record(ctx, intent); err != nil {
		return nil, err
	}
	made, err := issue.Obtain(ctx, authority, order, now)
	if err != nil {
		return nil, err
	}
	entry := ca.EntryOf(ca.KindLeaf, made.Leaf(), now)
	entry.Service, entry.Namespace, entry.Token, entry.Note = order.Service, order.Namespace, token, probeNote
	if err := ledger.Record(ctx, entry); err != nil {
		return nil, fmt.Errorf("record the certificate: %w", err)
	}
	return credentialOf(made), nil
}

// probeLedger says of each entry that it is a probe's.
type probeLedger struct{ ca.Ledger }

func (l probeLedger) Record(ctx context.Context, e ca.Entry) error {
	e.Note = probeNote
	return l.Ledger.Record(ctx, e)
}

// probeOrder is the order of a client to be.
func probeOrder(domain, name string, now, end time.Time) (issue.Order, error) {
	r := issue.Record{Service: "probe", Namespace: "meshpki", TrustDomain: domain, Cluster: "cluster.local", NoDNS: true, NoSubject: true,
		SPIFFEID: "spiffe://" + domain + "/meshpki/probe/" + name}
	order, _, err := r.Order(ca.Profile{}, nil, now, end)
	return order, err
}

// probeCredential is a credential in memory for a client to be.
func probeCredential(ctx context.Context, authority ca.Authority, domain, name string, now, end time.Time) (*tls.Certificate, error) {
	order, err := probeOrder(domain, name, now, end)
	if err != nil {
		return nil, err
	}
	made, err := issue.Obtain(ctx, authority, order, now)
	if err != nil {
		return nil, err
	}
	return credentialOf(made), nil
}

func credentialOf(made *issue.Credential) *tls.Certificate {
	out := &tls.Certificate{PrivateKey: made.Key, Leaf: made.Chain[0]}
	for _, cert := range made.Chain {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out
}
