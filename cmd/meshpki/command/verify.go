package command

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

func verifyCommand() *command {
	return &command{
		name:    "verify",
		summary: "tell whether certificates are trusted, and why not",
		args:    "SOURCE…",
		about: "Verifies each source's first certificate, and every other in it that issued none of them, against roots: " +
			"those of --roots, or the directory's bundle. The other certificates of the file, and those of --intermediates, " +
			"may stand between; they never become roots. The system's roots are never used. With the directory's own roots, what its " +
			"ledger knows to be revoked is not trusted.\n\n" +
			sourceHelp + "\n\nIt fails closed: roots that cannot be read are exit 1, no roots at all exit 2.",
		examples: []example{
			{"against the directory's own roots", "meshpki verify pki/services/default/payment/tls.crt"},
			{"in CI: for a name, with a week left", "meshpki verify pki/services/default/payment/tls.crt --roots pki/services/default/payment/ca.crt --name payment.default.svc --min-remaining 7d"},
			{"for a test report that Jenkins or GitLab shows", "meshpki verify pki/services --roots pki/services/default/payment/ca.crt --format junit"},
			{"as a check of Nagios or Icinga", "meshpki verify pki/services/default/payment/tls.crt --format nagios"},
			{"a SPIFFE ID", "meshpki verify pki/services/default/payment/tls.crt --spiffe-id spiffe://cluster.local/ns/default/sa/payment"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: commonForms("the form of the answer: `text|json|junit|sarif|github|nagios` (default text)", inCluster(
			many("roots", "trust the certificates in `SOURCE`; may be repeated"),
			many("intermediates", "use the certificates in `FILE` between; may be repeated"),
			text("at", "judge as of `TIME`: RFC 3339, or a duration from now"),
			text("name", "it must be valid for this DNS `NAME` or IP address"),
			text("email", "it must be valid for this email `ADDRESS`"),
			text("spiffe-id", "it must have this SPIFFE `ID`"),
			text("spiffe-trust-domain", "it must be an X509-SVID of this `TRUST-DOMAIN`"),
			text("eku", "it must serve for `any|serverAuth|clientAuth` (default any)"),
			text("keystore-password-file", "the password of PKCS#12 and Java keystores is the first line of `FILE`"),
			text("min-remaining", "it must be valid for this `DURATION` from then on"),
		)...),
		run: runVerify,
	}
}

func runVerify(ctx context.Context, c *call) error {
	sources, err := c.arguments(1, -1, "a SOURCE: a file, a directory, host:port, or - for standard input")
	if err != nil {
		return err
	}
	form, err := c.form(verifyForms)
	if err != nil {
		return err
	}
	o, err := c.verifyOptions(ctx)
	if err != nil {
		return err
	}
	doc := ui.Verification{Now: c.env.Now()}
	list, failed := c.sources(sources)
	for _, err := range failed {
		doc.Unread = append(doc.Unread, ui.Unread{Source: sources[0], Problem: plain(err)})
	}
	untrusted := false
	for _, source := range list {
		results, err := c.verify(source.name, o)
		if err != nil {
			if source.passesOver(err) {
				continue
			}
			failed = append(failed, err)
			doc.Unread = append(doc.Unread, ui.Unread{Source: source.name, Problem: plain(err)})
		}
		for _, r := range results {
			untrusted = untrusted || !r.Trusted
		}
		doc.Results = append(doc.Results, results...)
	}
	if len(doc.Results) == 0 && len(failed) == 0 {
		err := fmt.Errorf("%s: %w", sources[0], errNoCertificate) // nothing is not trusted
		failed, doc.Unread = append(failed, err), append(doc.Unread, ui.Unread{Source: sources[0], Problem: plain(err)})
	}
	return c.conclude(form, doc, failed, untrusted)
}

// verify judges the targets of one source.
func (c *call) verify(source string, o inspect.Options) ([]inspect.Result, error) {
	certs, err := c.certificates([]string{source})
	if err != nil {
		return nil, err
	}
	targets, between := inspect.Targets(certs)
	o.Intermediates = append(o.Intermediates[:len(o.Intermediates):len(o.Intermediates)], between...)
	var results []inspect.Result
	for _, t := range targets {
		results = append(results, inspect.Verify(source, t, o))
	}
	return results, nil
}

// verifyOptions reads the flags, and the roots and intermediates that they name.
func (c *call) verifyOptions(ctx context.Context) (inspect.Options, error) {
	o := inspect.Options{At: c.env.Now(), Name: c.String("name"), Email: c.String("email"), SPIFFEID: c.String("spiffe-id"),
		TrustDomain: c.String("spiffe-trust-domain"), EKU: c.or("eku", inspect.EKUAny)}
	if err := oneOf("eku", o.EKU, []string{inspect.EKUAny, inspect.EKUServerAuth, inspect.EKUClientAuth}); err != nil {
		return o, err
	}
	for _, flag := range []string{"name", "email", "spiffe-id", "spiffe-trust-domain"} {
		if c.IsSet(flag) && c.String(flag) == "" {
			return o, usagef("--%s is empty", flag)
		}
	}
	var err error
	if at := c.String("at"); at != "" {
		if o.At, err = config.ParseTime(at, c.env.Now()); err != nil {
			return o, usagef("--at: %v", err)
		}
	}
	if o.MinRemaining, err = c.duration("min-remaining"); err != nil {
		return o, err
	}
	if o.Intermediates, err = c.certificates(c.values("intermediates")); err != nil {
		return o, err
	}
	o.Roots, o.Revoked, err = c.roots(ctx)
	return o, err
}

// roots are those of --roots, else the directory's bundle; without either the
// question cannot be asked. With the directory's bundle goes what its ledger knows
// to be revoked.
func (c *call) roots(ctx context.Context) ([]*x509.Certificate, func(*x509.Certificate) (string, bool), error) {
	if c.IsSet("roots") {
		certs, err := c.certificates(c.values("roots"))
		return certs, nil, err
	}
	d, err := c.openIfThere()
	if err != nil {
		return nil, nil, err
	}
	if d == nil {
		return nil, nil, usagef("there are no roots to verify against").
			withHint("--roots FILE names them; without it they are those of the directory, and there is none at %s", c.dir())
	}
	revoked, err := d.Ledger().Revoked(ctx)
	if err != nil {
		return nil, nil, err
	}
	bundle, err := d.Bundle()
	return bundle, func(cert *x509.Certificate) (string, bool) {
		e, gone := revoked.Certificate(cert)
		return e.Reason, gone
	}, err
}
