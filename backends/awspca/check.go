package awspca

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
)

// Check tries every assumption about an authority against what will be asked of it:
// the way in, its state and mode, lifetimes, templates, rights and quotas. It issues
// nothing and changes nothing.
func Check(ctx context.Context, text string, o backends.Options, wants []backends.Want) ([]backends.Check, error) {
	a, err := Open(text, o)
	if err != nil {
		return nil, err
	}
	return a.check(ctx, wants)
}

func (a *Authority) check(ctx context.Context, wants []backends.Want) ([]backends.Check, error) {
	c, err := a.connected(ctx)
	if err != nil {
		return nil, err
	}
	d, err := within(ctx, describeWithin, func(ctx context.Context) (*description, error) { return a.state(ctx, c) })
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return []backends.Check{a.unseen(err)}, nil
	}
	out := []backends.Check{{Name: "access", State: backends.StateOK, Says: a.settings.Region + " answers, and lets us ask"}, a.checkStatus(d)}
	full, err := within(ctx, describeWithin, a.describe)
	if err != nil {
		out = append(out, backends.Check{Name: "certificate", State: backends.StateFailed, Says: err.Error()})
		return out, ctx.Err()
	}
	d = full
	out = append(out, a.checkEnd(d), checkMode(d), checkRevocation(d))
	templates := map[string]bool{}
	for _, w := range wants {
		checks, template := a.checkWant(d, w)
		out = append(out, checks...)
		templates[template] = template != ""
	}
	if len(wants) == 0 {
		templates[a.usualTemplate()] = true
	}
	for name, used := range templates {
		if used {
			out = append(out, a.checkTemplate(ctx, c, d, name))
		}
	}
	out = append(out, a.checkFetch(ctx, c))
	if !d.short() {
		out = append(out, a.checkRevoke(ctx, c))
	}
	out = append(out, a.checkQuota(len(wants)))
	return slices.Clip(out), ctx.Err()
}

// usualTemplate is the one that nothing else is known of than that it is set.
func (a *Authority) usualTemplate() string {
	if a.settings.Template != "" {
		return a.settings.Template
	}
	return blankLeaf
}

// unseen is the check of an authority that does not answer as it should.
func (a *Authority) unseen(err error) backends.Check {
	c := backends.Check{Name: "access", State: backends.StateFailed, Says: err.Error()}
	switch _, refused := ca.IsRefusal(err); {
	case errors.Is(err, ca.ErrAway):
		c.State = backends.StateUnknown
	case refused:
	case strings.Contains(err.Error(), "credentials"):
		c.Remedy = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role; aws sts get-caller-identity shows who asks"
	}
	return c
}

func (a *Authority) checkStatus(d *description) backends.Check {
	c := backends.Check{Name: "status", State: backends.StateOK, Says: fmt.Sprintf("%s, %s, key %s, signs by %s", d.status, strings.ToLower(string(d.kind)), d.key, d.algorithm)}
	if d.status != types.CertificateAuthorityStatusActive {
		c.State, c.Remedy = backends.StateFailed, stateRemedy(errors.New(string(d.status)), a.arn.text)
	}
	return c
}

// soonEnds is when an authority's own end is near.
const soonEnds = 90 * 24 * time.Hour

func (a *Authority) checkEnd(d *description) backends.Check {
	end, whose := d.issuer().Limit()
	c := backends.Check{Name: "validity", State: backends.StateOK, Says: fmt.Sprintf("nothing it signs ends after %s, when %s does", end.UTC().Format(time.DateOnly), whose.Subject.CommonName)}
	switch left := end.Sub(a.now()); {
	case left <= 0:
		c.State, c.Remedy = backends.StateFailed, "install a new certificate: meshpki ca intermediate, or in AWS"
	case left < soonEnds:
		c.State, c.Remedy = backends.StateWarning, "replace it before certificates are cut short by it"
	}
	return c
}

func checkMode(d *description) backends.Check {
	if d.short() {
		return backends.Check{Name: "mode", State: backends.StateOK, Says: "SHORT_LIVED_CERTIFICATE: certificates live for 7 days at the most, and are not revoked"}
	}
	return backends.Check{Name: "mode", State: backends.StateOK, Says: "GENERAL_PURPOSE"}
}

func checkRevocation(d *description) backends.Check {
	c := backends.Check{Name: "revocation", State: backends.StateOK, Says: "it publishes what is revoked"}
	switch {
	case d.short():
		c.Says = "none, and none is needed"
	case !d.revokes:
		c.State, c.Says = backends.StateWarning, "neither a CRL nor OCSP is configured: a revocation reaches nobody"
		c.Remedy = "aws acm-pca update-certificate-authority --revocation-configuration …"
	}
	return c
}

// checkWant foretells what becomes of one certificate, and gives its template.
func (a *Authority) checkWant(d *description, w backends.Want) (out []backends.Check, name string) {
	say := func(what string, state backends.State, remedy, format string, args ...any) {
		out = append(out, backends.Check{Name: what, State: state, Says: w.Name + ": " + fmt.Sprintf(format, args...), Remedy: remedy})
	}
	if w.KeyType == ca.Ed25519 {
		say("key", backends.StateFailed, "set keyType: ec-p256", "Ed25519 keys are not certified there")
		return out, ""
	}
	if limit, whose := d.limit(a.now()); w.Validity > 0 && a.now().Add(w.Validity).After(limit) {
		say("lifetime", backends.StateWarning, fmt.Sprintf("set validity: %s or less", roughly(limit.Sub(a.now()))), "%s is longer than %s allows: until %s", roughly(w.Validity), cmp.Or(whose, "the mode"), limit.UTC().Format(time.DateOnly))
	}
	for _, n := range w.Identity.Names() {
		if err := d.issuer().Judge(n); err != nil {
			say("names", backends.StateFailed, "", "%v", err)
		}
	}
	t := choose(a.settings.Template, w.Identity, w.Profile, w.KeyType, true)
	dropped := t.drops(w.Profile, w.KeyType)
	for _, drop := range dropped {
		say("drops", backends.StateFailed, "leave template out of this backend's entry, or set "+blankLeaf, "template %s %s", t.name, drop.says)
	}
	if more := t.surplus(w.Profile, w.KeyType); more != "" && len(dropped) == 0 {
		say("adds", backends.StateOK, "", "template %s adds %s to the key usage", t.name, more)
	}
	return out, t.name
}

// roughly is a length of time in days, or as it is where it is short.
func roughly(d time.Duration) string {
	if day := 24 * time.Hour; d >= day {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.Truncate(time.Minute).String()
}

// noRequest is no certificate request: who may ask by a template is told that it is
// none, and who may not, that he may not.
const noRequest = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"

func (a *Authority) checkTemplate(ctx context.Context, c *client, d *description, name string) backends.Check {
	_, err := ask(ctx, c.issue, c.api.IssueCertificate, &acmpca.IssueCertificateInput{CertificateAuthorityArn: &a.arn.text, Csr: []byte(noRequest),
		SigningAlgorithm: d.algorithm, TemplateArn: aws.String(a.arn.template(name)), Validity: absolute(a.now().Add(time.Hour))})
	return a.right("template", "IssueCertificate", name, err, name+" may be signed by")
}

func (a *Authority) checkFetch(ctx context.Context, c *client) backends.Check {
	none := a.arn.text + "/certificate/" + strings.Repeat("0", 32)
	_, err := ask(ctx, c.fetch, c.api.GetCertificate, &acmpca.GetCertificateInput{CertificateAuthorityArn: &a.arn.text, CertificateArn: &none})
	return a.right("fetching", "GetCertificate", "", err, "the right is there")
}

func (a *Authority) checkRevoke(ctx context.Context, c *client) backends.Check {
	_, err := ask(ctx, c.others, c.api.RevokeCertificate, &acmpca.RevokeCertificateInput{CertificateAuthorityArn: &a.arn.text,
		CertificateSerial: aws.String("01"), RevocationReason: types.RevocationReasonUnspecified})
	check := a.right("revoking", "RevokeCertificate", "", err, "the right is there")
	if check.State == backends.StateFailed {
		check.State = backends.StateWarning // certificates are had without it
	}
	return check
}

// right tells from the answer to a request that asks for nothing whether it may be
// made: rights are looked at first.
func (a *Authority) right(name, operation, template string, err error, fine string) backends.Check {
	check := backends.Check{Name: name, State: backends.StateOK, Says: fine}
	switch kindOf(err) {
	case forbidden:
		check.State, check.Says, check.Remedy = backends.StateFailed, said(err), "allow "+a.statement(operation, template)
	case throttle, away:
		check.State, check.Says = backends.StateUnknown, said(err)
	case failed:
		if err != nil {
			check.State, check.Says = backends.StateUnknown, said(err)
		}
	}
	return check
}

func (a *Authority) checkQuota(wants int) backends.Check {
	rate := a.settings.Rate
	if rate <= 0 {
		return backends.Check{Name: "quota", State: backends.StateUnknown, Says: "certificates are asked for without a limit of ours"}
	}
	says := fmt.Sprintf("at most %g certificates a second are asked for", rate)
	if float64(wants) > rate {
		says += fmt.Sprintf("; %d services take %s", wants, (time.Duration(float64(wants)/rate*float64(time.Second)) + time.Second).Truncate(time.Second))
	}
	c := backends.Check{Name: "quota", State: backends.StateOK, Says: says}
	if rate > usualIssue {
		c.State, c.Remedy = backends.StateUnknown, "aws service-quotas list-service-quotas --service-code acm-pca shows what this account has"
	}
	return c
}

// Suggest gives the policy that the caller needs for what will be asked: in IAM's own
// words, and as Terraform writes it.
func Suggest(text string, o backends.Options, wants []backends.Want) ([]backends.Suggestion, error) {
	a, err := Open(text, o)
	if err != nil {
		return nil, err
	}
	templates := []string{}
	for _, w := range wants {
		t := choose(a.settings.Template, w.Identity, w.Profile, w.KeyType, true)
		if arn := a.arn.template(t.name); !slices.Contains(templates, arn) {
			templates = append(templates, arn)
		}
	}
	if len(wants) == 0 {
		templates = append(templates, a.arn.template(a.usualTemplate()))
	}
	slices.Sort(templates)
	type statement struct {
		Sid       string
		Effect    string
		Action    []string
		Resource  string
		Condition map[string]map[string][]string `json:",omitempty"`
	}
	policy := struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{
		{Sid: "MeshpkiReads", Effect: "Allow", Resource: a.arn.text, Action: []string{"acm-pca:DescribeCertificateAuthority",
			"acm-pca:GetCertificate", "acm-pca:GetCertificateAuthorityCertificate", "acm-pca:RevokeCertificate"}},
		{Sid: "MeshpkiIssues", Effect: "Allow", Resource: a.arn.text, Action: []string{"acm-pca:IssueCertificate"},
			Condition: map[string]map[string][]string{"StringEquals": {"acm-pca:TemplateArn": templates}}},
	}}
	data, err := json.MarshalIndent(policy, "", "  ")
	if err != nil {
		return nil, err
	}
	terraform := "resource \"aws_iam_policy\" \"meshpki\" {\n  name   = \"meshpki\"\n  policy = <<-POLICY\n" + indent(string(data)) + "\n  POLICY\n}"
	return []backends.Suggestion{{Form: "iam", Text: string(data)}, {Form: "terraform", Text: terraform}}, nil
}

func indent(text string) string { return "    " + strings.ReplaceAll(text, "\n", "\n    ") }
