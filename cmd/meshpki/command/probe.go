package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
)

func probeCommand() *command {
	return &command{
		name:    "probe",
		summary: "find out what a server serves, and whether it really demands client certificates",
		args:    "HOST:PORT",
		about: "Shows the chain and the protocol that a server serves, and then tries it as a client: without a certificate, with one " +
			"of an unknown authority, with an expired one, with one of the wrong identity, and with the right one. Each is really " +
			"sent, whatever list of authorities the server shows, and judged at the handshake, the first read and one HTTP GET: " +
			"accepted only if the answer is of the same class as the right certificate's. A server may also be given as the " +
			"URL of a protocol that begins TLS its own way, as smtp:// or postgres://; that is asked nothing in HTTP.\n\n" +
			"The stranger's certificate is made on the spot. The others are --cert, --expired-cert and --other-cert, or, with " +
			"--mint, certificates of five minutes that the directory's authority makes under spiffe://<trust domain>/meshpki/probe/; their keys stay " +
			"in memory, and the ledger records them as probes. With --backend, or a manifest that names one, that authority makes them; it makes none " +
			"that has expired. What there is no certificate for is not tried; " +
			"without a right one, what is not refused in TLS stays unknown.",
		examples: []example{
			{"with certificates made for it", "meshpki probe payment.default.svc:8443 --mint --roots pki/services/default/payment/ca.crt"},
		},
		exits: []exit{
			{codeDone, "mutual TLS is enforced, as far as it was tried"},
			{codeFailed, "the server cannot be reached, or a certificate cannot be read"},
			{codeUsage, "usage is wrong; nothing was attempted"},
			{codeNo, "somebody gets in who should not, or the right one does not, or it cannot be told; or the chain is not trusted by --roots"},
			{codeRefused, "the authority refused to make a certificate"},
		},
		flags: common(
			text("server-name", "ask for this `NAME` instead of the host's"),
			text("cert", "the right certificate with its chain, a `FILE`"),
			text("key", "its key, a `FILE`"),
			text("expired-cert", "an expired certificate, a `FILE`"),
			text("expired-key", "its key, a `FILE`"),
			text("other-cert", "a certificate of an identity that must be refused, a `FILE`"),
			text("other-key", "its key, a `FILE`"),
			toggle("mint", "have the directory's authority make what is not given"),
			text("backend", "with --mint: the authority that makes them, a `REF` (default that of the manifest, else local)"),
			toggle("no-http", "ask nothing in HTTP: judge the handshake and the first read"),
			many("roots", "the served chain must be trusted by the certificates in `SOURCE`; may be repeated"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input"),
		),
		run: runProbe,
	}
}

func runProbe(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "HOST:PORT, or the URL of a server")
	if err != nil {
		return err
	}
	if c.IsSet("backend") && !c.Bool("mint") {
		return usagef("--backend says who makes the certificates of --mint, and there is no --mint")
	}
	endpoint, err := inspect.ParseEndpoint(args[0])
	if err != nil {
		return usagef("%v", err)
	}
	p := &prober{c: c, options: inspect.ProbeOptions{Endpoint: endpoint, ServerName: c.String("server-name")}}
	p.http = !c.Bool("no-http") && (endpoint.Scheme == "tls" || endpoint.Scheme == "https")
	if err := p.prepare(ctx); err != nil {
		return err
	}
	served, err := inspect.Probe(ctx, p.options)
	if err != nil {
		return err
	}
	doc := ui.Probe{Now: c.env.Now(), Endpoint: args[0], Served: inspect.DescribeServed(args[0], served, c.env.Now())}
	for _, cert := range served.Chain {
		doc.Chain = append(doc.Chain, inspect.Describe(args[0], inspect.Object{Kind: inspect.KindCertificate, DER: cert.Raw, Certificate: cert}, c.env.Now()))
	}
	if c.IsSet("roots") {
		if doc.Trust, err = p.trust(served); err != nil {
			return err
		}
	}
	if doc.Attempts, err = p.tryAll(ctx); err != nil {
		return err
	}
	if err := c.say(doc); err != nil {
		return err
	}
	if !doc.Good() {
		return errNo
	}
	return nil
}

// prober tries one server.
type prober struct {
	c       *call
	options inspect.ProbeOptions
	http    bool
	clients []probeClient
}

// probeClient is one of the clients to be.
type probeClient struct {
	name    string
	minted  bool
	without bool // it shows no certificate
	cert    *tls.Certificate
}

// prepare gets the certificates: those that are given, and those that are to be made.
func (p *prober) prepare(ctx context.Context) error {
	stranger, err := p.stranger(ctx)
	if err != nil {
		return err
	}
	p.clients = []probeClient{{name: ui.ProbeNone, without: true}, {name: ui.ProbeStranger, cert: stranger}}
	for _, given := range []struct{ name, flag, prefix string }{
		{ui.ProbeExpired, "expired-cert", "expired-"}, {ui.ProbeOther, "other-cert", "other-"}, {ui.ProbeRight, "cert", ""},
	} {
		cert, err := p.given(given.prefix)
		if err != nil {
			return err
		}
		p.clients = append(p.clients, probeClient{name: given.name, cert: cert})
	}
	if p.c.Bool("mint") {
		return p.mint(ctx)
	}
	return nil
}

// given reads a certificate and its key from files; nil where none are named.
func (p *prober) given(prefix string) (*tls.Certificate, error) {
	certFile, keyFile := p.c.String(prefix+"cert"), p.c.String(prefix+"key")
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case certFile == "" || keyFile == "":
		return nil, usagef("--%scert and --%skey go together", prefix, prefix)
	}
	certs, err := p.c.certificates([]string{certFile})
	if err != nil {
		return nil, err
	}
	data, err := pemfile.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	key, err := pemfile.ParseKey(data, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if !pemfile.SamePublicKey(certs[0].PublicKey, key.Public()) {
		return nil, fmt.Errorf("%s: it is not the key of the first certificate in %s", keyFile, certFile)
	}
	out := &tls.Certificate{PrivateKey: key, Leaf: certs[0]}
	for _, cert := range certs {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out, nil
}

// stranger is a certificate of an authority that lives as long as this call.
func (p *prober) stranger(ctx context.Context) (*tls.Certificate, error) {
	now := p.c.env.Now()
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		return nil, err
	}
	spec := ca.Spec{CommonName: "Unknown CA", MaxPathLen: -1, NotBefore: now.Add(-ca.Backdate), NotAfter: now.Add(time.Hour)}
	root, err := ca.NewRoot(ctx, spec, key, nowhere{}, now)
	if err != nil {
		return nil, err
	}
	issuer := &ca.Issuer{Certificate: root, Signer: key, Ledger: nowhere{}, Now: p.c.env.Now}
	return probeCredential(ctx, issuer, "cluster.local", "stranger", now, now.Add(probeLife))
}

// trust verifies what was served, by the server's name.
func (p *prober) trust(served *inspect.Served) (*inspect.Result, error) {
	var q question
	for _, name := range p.c.values("roots") {
		if err := p.c.addRoots(&q, name, ""); err != nil {
			return nil, err
		}
	}
	name := p.options.ServerName
	if name == "" {
		name = p.options.Endpoint.Host
	}
	r := inspect.Verify(p.options.Endpoint.String(), served.Chain[0], inspect.Options{Roots: q.Roots, Bundles: q.Bundles, Intermediates: served.Chain[1:],
		At: p.c.env.Now(), Name: name, EKU: inspect.EKUServerAuth})
	return &r, nil
}

// tryAll is each client in turn: the right one first, for the others are judged by it.
func (p *prober) tryAll(ctx context.Context) ([]ui.ProbeAttempt, error) {
	var right *inspect.Trial
	last := len(p.clients) - 1
	attempts := make([]ui.ProbeAttempt, len(p.clients))
	for _, i := range append([]int{last}, 0, 1, 2, 3) {
		client := p.clients[i]
		a := &attempts[i]
		*a = ui.ProbeAttempt{Attempt: client.name, Outcome: inspect.NotTried, Minted: client.minted}
		if client.cert != nil {
			a.Identity = identityOf(client.cert.Leaf)
		}
		if client.cert == nil && !client.without {
			continue
		}
		trial, err := inspect.Try(ctx, p.options, inspect.Client{Certificate: client.cert, HTTP: p.http})
		if err != nil {
			return nil, err
		}
		a.Tried(trial)
		if i == last {
			right, a.Outcome = trial, trial.JudgeRight()
			continue
		}
		if a.Outcome = trial.Judge(right); trial.Asked && !client.without && !trial.Sent && a.Outcome != inspect.Refused {
			return nil, errors.New("a certificate was asked for, and could not be sent: nothing can be told")
		}
	}
	return attempts, nil
}

// identityOf is who a certificate is for, as a person says it.
func identityOf(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	return inspect.Verify("", cert, inspect.Options{At: cert.NotBefore}).Subject
}
