package command

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/inspect"
)

// question is what verify asks of each certificate.
type question struct {
	inspect.Options
	until  time.Time // the end of --at A..B, zero without
	failOn string
}

const failOnWarning = "warning"

// question reads the flags, and what they name.
func (c *call) question(ctx context.Context) (*question, error) {
	q := &question{
		Options: inspect.Options{
			Name: c.String("name"), Email: c.String("email"), SPIFFEID: c.String("spiffe-id"), TrustDomain: c.String("spiffe-trust-domain"),
			EKU: c.or("eku", inspect.EKUAny), LimitDepth: c.IsSet("max-depth"), MaxDepth: c.Int("max-depth"),
			Strict: c.Bool("strict"), Explain: c.Bool("explain"), CRLCheck: c.or("crl-check", inspect.CRLCheckLeaf),
			Policies: inspect.PolicyOptions{Initial: c.values("policy"), Explicit: c.Bool("require-explicit-policy"),
				InhibitMapping: c.Bool("inhibit-policy-mapping"), InhibitAny: c.Bool("inhibit-any-policy")},
		},
		failOn: c.or("fail-on", "error"),
	}
	if err := c.checkQuestion(q); err != nil {
		return nil, err
	}
	var err error
	if q.At, q.until, err = c.when(); err != nil {
		return nil, err
	}
	if q.MinRemaining, err = c.duration("min-remaining"); err != nil {
		return nil, err
	}
	for _, name := range c.values("intermediates") {
		certs, err := c.anyCertificates(name)
		if err != nil {
			return nil, err
		}
		q.Intermediates = append(q.Intermediates, certs...)
	}
	if err := c.readStatus(q); err != nil {
		return nil, err
	}
	q.Nearby = c.nearby()
	return q, c.readTrust(ctx, q)
}

// nearby are the certificates of the directory's authorities, for a fix to point to.
// What cannot be read of them is no matter.
func (c *call) nearby() []inspect.Nearby {
	files, _ := filepath.Glob(filepath.Join(c.dir(), "ca", "*.crt"))
	var list []inspect.Nearby
	for _, name := range files {
		objects, err := c.objectsOfFile(name)
		if err != nil {
			continue
		}
		for _, cert := range inspect.Certificates(objects) {
			list = append(list, inspect.Nearby{Where: name, Certificate: cert})
		}
	}
	return list
}

// checkQuestion refuses what cannot be asked.
func (c *call) checkQuestion(q *question) error {
	if err := oneOf("eku", q.EKU, []string{inspect.EKUAny, inspect.EKUServerAuth, inspect.EKUClientAuth}); err != nil {
		return err
	}
	if err := oneOf("crl-check", q.CRLCheck, []string{inspect.CRLCheckLeaf, inspect.CRLCheckChain}); err != nil {
		return err
	}
	if err := oneOf("fail-on", q.failOn, []string{"error", failOnWarning}); err != nil {
		return err
	}
	for _, flag := range []string{"name", "email", "spiffe-id", "spiffe-trust-domain", "ocsp", "issuer"} {
		if c.IsSet(flag) && c.String(flag) == "" {
			return usagef("--%s is empty", flag)
		}
	}
	switch {
	case q.MaxDepth < 0:
		return usagef("--max-depth: %d is negative", q.MaxDepth)
	case c.IsSet("crl-check") && !c.IsSet("crl"):
		return usagef("--crl-check says what the lists of --crl are asked about, and there is no --crl")
	case c.IsSet("issuer") && !c.IsSet("ocsp"):
		return usagef("--issuer goes with --ocsp, and there is no --ocsp")
	}
	oid := regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]{0,8}))+$`)
	for _, p := range q.Policies.Initial {
		if !oid.MatchString(p) {
			return usagef("--policy: %q is no object identifier such as 1.3.6.1.4.1.32473.1", p)
		}
	}
	return nil
}

// when reads --at: a moment, or two with '..' between.
func (c *call) when() (at, until time.Time, err error) {
	now := c.env.Now()
	text := c.String("at")
	if text == "" {
		return now, until, nil
	}
	from, to, ranged := strings.Cut(text, "..")
	if at, err = config.ParseTime(from, now); err != nil {
		return at, until, usagef("--at: %v", err)
	}
	if !ranged {
		return at, until, nil
	}
	if until, err = config.ParseTime(to, now); err != nil {
		return at, until, usagef("--at: %v", err)
	}
	if until.Before(at) {
		return at, until, usagef("--at: %s ends before it begins", text)
	}
	return at, until, nil
}

// readStatus reads what says which certificates are revoked.
func (c *call) readStatus(q *question) error {
	list, failed := c.sources(c.values("crl"))
	if len(failed) > 0 {
		return failed[0]
	}
	for _, s := range list {
		data, err := c.readSource(s.name)
		if err != nil {
			return err
		}
		lists, err := inspect.ReadCRLs(data)
		if err != nil {
			if s.passesOver(err) {
				continue
			}
			return fmt.Errorf("%s: %w", s.name, err)
		}
		q.CRLs = append(q.CRLs, lists...)
	}
	if c.IsSet("crl") && len(q.CRLs) == 0 {
		return fmt.Errorf("%s: there is no CRL in any of its files", c.values("crl")[0])
	}
	if name := c.String("ocsp"); name != "" {
		data, err := c.readSource(name)
		if err != nil {
			return err
		}
		if q.OCSP, err = inspect.ReadOCSP(data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if name := c.String("issuer"); name != "" {
		certs, err := c.certificates([]string{name})
		if err != nil {
			return err
		}
		q.OCSPIssuer = certs[0]
	}
	return nil
}

// systemBundles are the files in which systems keep the roots that they trust, the
// first that is there counts; SSL_CERT_FILE goes before them.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem", "/usr/local/etc/ssl/cert.pem",
}

// systemRoots are the roots of this machine. Where its file cannot be found, as on
// Windows, which keeps them elsewhere, the question cannot be asked.
func (c *call) systemRoots() ([]*x509.Certificate, error) {
	if name := c.env.Getenv("SSL_CERT_FILE"); name != "" {
		return c.certificates([]string{name})
	}
	for _, name := range systemBundles {
		if _, err := os.Stat(name); err == nil {
			return c.certificates([]string{name})
		}
	}
	return nil, fmt.Errorf("the roots of this machine are in none of the files where they are looked for: %s", strings.Join(systemBundles, ", "))
}

// anyCertificates reads a source in which there must be certificates. One that
// crypto/x509 refuses is among them, as far as it could be read: it is judged, and
// never trusted. Anything else that cannot be read is an error.
func (c *call) anyCertificates(name string) ([]*x509.Certificate, error) {
	objects, err := c.objects(name)
	if err != nil {
		return nil, err
	}
	return certificatesAmong(name, objects)
}

// certificatesAmong is anyCertificates of what was found in a source.
func certificatesAmong(name string, objects []inspect.Object) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, o := range objects {
		switch {
		case o.Certificate != nil:
			certs = append(certs, o.Certificate)
		case o.Damaged != nil:
			certs = append(certs, o.Damaged)
		case o.Err != nil:
			return nil, unreadable(name, o)
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: %w", name, errNoCertificate)
	}
	return certs, nil
}
