package command

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/renew"
)

func needsRenewalCommand() *command {
	return &command{
		name:    "needs-renewal",
		summary: "tell systemd or a script whether a certificate is due",
		args:    "SOURCE",
		about: "Tells whether the first certificate of a file, or of what a server sends, is due for renewal: when 66 % of its lifetime has passed, or " +
			"what --expires-in says, counted to the first end in its chain; when it has expired; and when the directory's ledger says that it is revoked. " +
			"The exit code is what systemd's ExecCondition wants, and differs from that of every other command.",
		examples: []example{
			{"is it due?", "meshpki needs-renewal pki/services/default/payment/tls.crt"},
			{"is less than 10 days left?", "meshpki needs-renewal pki/services/default/payment/tls.crt --expires-in 10d"},
		},
		exits: []exit{
			{codeDone, "it is due"},
			{codeNotDue, "it is not due"},
			{codeElse, "everything else: a file that is missing or unreadable, wrong usage, a crash"},
		},
		flags: common(inCluster(
			text("keystore-password-file", "the password of PKCS#12 and Java keystores is the first line of `FILE`"),
			text("expires-in", "due when this `PART` of the lifetime has passed (75%), or when less than a duration is left (10d) (default 66%)"),
		)...),
		run: runNeedsRenewal,
	}
}

func runNeedsRenewal(ctx context.Context, c *call) error {
	sources, err := c.arguments(1, 1, "a SOURCE: a file, host:port, or - for standard input")
	if err != nil {
		return err
	}
	policy, err := c.renewalPolicy()
	if err != nil {
		return err
	}
	certs, err := c.certificates(sources)
	if err != nil {
		return err
	}
	leaf := certs[0]
	d, err := c.openIfThere()
	if err != nil {
		return err
	}
	var revoked ca.Revoked
	if d != nil {
		if revoked, err = d.Ledger().Revoked(ctx); err != nil {
			return err
		}
	}
	decision := renew.Decide(stateOf(certs, revoked), policy, c.env.Now())
	report := inspect.Describe(sources[0], inspect.Object{Kind: inspect.KindCertificate, Index: 1, DER: leaf.Raw, Certificate: leaf}, c.env.Now())
	if err := c.say(ui.NeedsRenewal{Source: sources[0], Subject: report.Certificate.Name, Due: decision.Outcome == renew.Renew,
		Reason: decision.Reason, At: decision.At, NotAfter: leaf.NotAfter.UTC(), Now: c.env.Now()}); err != nil {
		return err
	}
	if decision.Outcome != renew.Renew {
		return errNo
	}
	return nil
}

// stateOf is what a chain, leaf first, says of itself, and a ledger of it: with an
// intermediate, all below it are revoked.
func stateOf(chain []*x509.Certificate, revoked ca.Revoked) renew.State {
	s := renew.State{NotBefore: chain[0].NotBefore, NotAfter: chain[0].NotAfter, ChainEnds: renew.ChainEnds(chain)}
	if slices.ContainsFunc(chain, func(cert *x509.Certificate) bool {
		_, gone := revoked.Certificate(cert)
		return gone
	}) {
		s.Revoked = "it"
	}
	return s
}

func (c *call) renewalPolicy() (renew.Policy, error) {
	s := c.String("expires-in")
	switch {
	case s == "" && c.IsSet("expires-in"):
		return renew.Policy{}, usagef("--expires-in is empty")
	case s == "":
		return renew.Policy{}, nil
	case strings.HasSuffix(s, "%"):
		percent, err := config.ParsePercent(s)
		if err != nil {
			return renew.Policy{}, usagef("--expires-in: %v", err)
		}
		return renew.Policy{Percent: percent}, nil
	}
	d, err := config.ParseDuration(s)
	if err != nil || d == 0 {
		return renew.Policy{}, usagef("--expires-in: %q is neither a part of the lifetime (75%%) nor a duration (10d)", s)
	}
	return renew.Policy{Before: d}, nil
}
