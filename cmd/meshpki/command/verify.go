package command

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/guard"
)

func verifyCommand() *command {
	return &command{
		name:    "verify",
		summary: "tell whether certificates are trusted, and why not",
		args:    "SOURCE…",
		about: "Verifies each source's first certificate, and every other in it that issued none of them, against roots: " +
			"those of --roots, or the directory's bundle. The other certificates of the file, and those of --intermediates, " +
			"may stand between; they never become roots. With --spiffe-bundle, whoever has a SPIFFE ID is trusted by the bundle of its own " +
			"trust domain alone. The system's roots are used only with --system-roots. With the directory's own roots, what its " +
			"ledger knows to be revoked is not trusted.\n\n" +
			sourceHelp + "\n\nIt fails closed: roots that cannot be read are exit 1, no roots at all exit 2.",
		examples: []example{
			{"against the directory's own roots", "meshpki verify pki/services/default/payment/tls.crt"},
			{"in CI: for a name, with a week left", "meshpki verify pki/services/default/payment/tls.crt --roots pki/services/default/payment/ca.crt --name payment.default.svc --min-remaining 7d"},
			{"for a test report that Jenkins or GitLab shows", "meshpki verify pki/services --roots pki/services/default/payment/ca.crt --format junit"},
			{"as a check of Nagios or Icinga", "meshpki verify pki/services/default/payment/tls.crt --format nagios"},
			{"whether it holds for the next two weeks, and if not, when what breaks", "meshpki verify pki/services/default/payment/tls.crt --at 0s..14d"},
			{"check by check", "meshpki verify pki/services/default/payment/tls.crt --explain"},
			{"a SPIFFE ID", "meshpki verify pki/services/default/payment/tls.crt --spiffe-id spiffe://cluster.local/ns/default/sa/payment"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: commonForms("the form of the answer: `text|json|junit|sarif|github|nagios` (default text)", inCluster(
			many("roots", "trust the certificates in `SOURCE`; may be repeated"),
			many("intermediates", "use the certificates in `FILE` between; may be repeated"),
			many("spiffe-bundle", "trust the bundle in `TRUST-DOMAIN=SOURCE` for SPIFFE IDs of that trust domain alone; may be repeated"),
			toggle("system-roots", "trust the roots of this machine, beside those of --roots"),
			text("at", "judge as of `TIME`: RFC 3339, or a duration from now; A..B asks about every moment between"),
			text("name", "it must be valid for this DNS `NAME` or IP address"),
			text("email", "it must be valid for this email `ADDRESS`"),
			text("spiffe-id", "it must have this SPIFFE `ID`"),
			text("spiffe-trust-domain", "it must be an X509-SVID of this `TRUST-DOMAIN`"),
			text("eku", "what it must be good for: `any|serverAuth|clientAuth` (default any)"),
			number("max-depth", 0, "at most this `NUMBER` of CAs may stand between it and the root"),
			many("crl", "these lists, a `SOURCE`, must say that it is not revoked; may be repeated"),
			text("crl-check", "which certificates the lists are asked about: `leaf|chain` (default leaf)"),
			text("ocsp", "this OCSP response, a `FILE`, must say that it is good"),
			text("issuer", "with --ocsp: the certificate in `FILE` issued it"),
			many("policy", "a certificate policy that is acceptable, an `OID`; may be repeated (default any)"),
			toggle("require-explicit-policy", "the path must be valid for an acceptable policy"),
			toggle("inhibit-policy-mapping", "no CA may map a policy to another"),
			toggle("inhibit-any-policy", "anyPolicy stands for no policy"),
			toggle("strict", "what a conforming CA would not do is an error"),
			text("fail-on", "say no where something is at least this bad: `error|warning` (default error)"),
			toggle("explain", "show every check of every path"),
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
	q, err := c.question(ctx)
	if err != nil {
		return err
	}
	doc := ui.Verification{Now: c.env.Now()}
	list, failed := c.sources(sources)
	for _, err := range failed {
		doc.Unread = append(doc.Unread, ui.Unread{Source: sources[0], Problem: plain(err)})
	}
	no := false
	for i, a := range c.answers(list, q) {
		if a.err != nil && !list[i].passesOver(a.err) {
			failed = append(failed, a.err)
			doc.Unread = append(doc.Unread, ui.Unread{Source: list[i].name, Problem: plain(a.err)})
		}
		for _, r := range a.results {
			no = no || !r.Trusted || q.failOn == failOnWarning && hasWarning(r)
		}
		doc.Results = append(doc.Results, a.results...)
	}
	if len(doc.Results) == 0 && len(failed) == 0 {
		err := fmt.Errorf("%s: %w", sources[0], errNoCertificate) // nothing is not trusted
		failed, doc.Unread = append(failed, err), append(doc.Unread, ui.Unread{Source: sources[0], Problem: plain(err)})
	}
	return c.conclude(form, doc, failed, no)
}

// answer is what there is to say about one source.
type answer struct {
	results []inspect.Result
	err     error
}

// answers judges every source, several at a time where there are several.
func (c *call) answers(list []source, q *question) []answer {
	answers := make([]answer, len(list))
	const chunk = 64 // sources are handed out so many at a time
	workers := min(runtime.GOMAXPROCS(0), (len(list)+chunk-1)/chunk)
	var next atomic.Int64
	work := func() {
		v := inspect.NewVerifier(q.Options)
		for {
			from := int(next.Add(chunk)) - chunk
			if from >= len(list) {
				return
			}
			for i := from; i < min(from+chunk, len(list)); i++ {
				answers[i].results, answers[i].err = c.verify(list[i], q, v)
			}
		}
	}
	var wg sync.WaitGroup
	fault := make([]any, workers)
	for n := 1; n < workers; n++ {
		wg.Add(1)
		guard.Go(func(f any) { fault[n] = f; wg.Done() }, func() { work(); wg.Done() })
	}
	work()
	wg.Wait()
	for _, f := range fault {
		if f != nil {
			answers[0] = answer{err: fmt.Errorf("internal error: %v", f)}
		}
	}
	return answers
}

// verify judges the targets of one source.
func (c *call) verify(s source, q *question, v *inspect.Verifier) ([]inspect.Result, error) {
	name := s.name
	objects, err := c.look(s)
	if err != nil {
		return nil, err
	}
	certs, err := certificatesAmong(name, objects)
	if err != nil {
		return nil, err
	}
	targets, between := inspect.Targets(certs)
	// A root that stands alone in a chain issued nothing there and is a target; that it
	// came is what a fix may have to say.
	const few = 8
	for _, t := range targets[:min(few, len(targets))] {
		if t.IsCA {
			between = append(between, t)
		}
	}
	results := make([]inspect.Result, 0, len(targets))
	for _, t := range targets {
		if q.until.IsZero() {
			results = append(results, v.Verify(name, t, between))
			continue
		}
		results = append(results, inspect.VerifyUntil(name, t, between, q.Options, q.until))
	}
	return results, nil
}

func hasWarning(r inspect.Result) bool {
	return slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Severity == inspect.SeverityWarning })
}
