package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/pemfile"
)

func crossSignCommand() *command {
	return &command{
		name:    "cross-sign",
		summary: "have one authority certify another that has a certificate",
		args:    "CERT",
		about: "Signs another certificate for the subject and key of a CA that has one already: whoever trusts the signer then " +
			"trusts what that CA signs (RFC 5280, Section 3.2). CERT is a file, or the name of an authority. The new certificate " +
			"never allows more than CERT and the signer do, in path length, name constraints, uses and life.\n\n" +
			"Of an authority of this directory it is kept in ca/. Another's CA wants --foreign, and at least one --permit flag that " +
			"says for which names it is to be trusted; its trust domain is not among them unless --permit-spiffe says so.",
		examples: []example{
			{"another's root, for its own names", "meshpki ca cross-sign prod/ca/root.crt --by root --foreign --permit-dns prod.example --permit-spiffe prod.example --out prod-by-us.crt"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused),
		flags: common(
			text("by", "the `NAME` of the authority that signs"),
			toggle("foreign", "CERT is another's"),
			text("validity", "how long it lives, a `DURATION` (default: as long as CERT and the signer allow)"),
			many("permit-dns", "constrain it to DNS names within `DOMAIN`; may be repeated"),
			many("permit-spiffe", "constrain it to SPIFFE IDs of `TRUST-DOMAIN`; may be repeated"),
			many("permit-cidr", "constrain it to IP addresses within `CIDR`; may be repeated"),
			many("permit-email", "constrain it to email addresses at `HOST`, or within .DOMAIN; may be repeated"),
			onlyNamed(),
			text("out", "write it to `FILE`, besides"),
			toggle("force", "replace that file"),
			text("key", "the `FILE` or key URI with the signer's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input (MESHPKI_PASSPHRASE_FILE)"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
		),
		run: runCrossSign,
	}
}

func runCrossSign(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "the certificate: a FILE, or the name of an authority")
	if err != nil {
		return err
	}
	if c.String("by") == "" {
		return usagef("meshpki ca cross-sign needs --by NAME, the authority that signs")
	}
	if err := c.checkOut(); err != nil {
		return err
	}
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	o := file.CrossOptions{By: c.String("by"), Key: c.keySource()}
	if o.Constraints, err = c.permits(); err != nil {
		return err
	}
	if o.Foreign = c.Bool("foreign"); o.Foreign && o.Constraints.Empty() {
		return usagef("--foreign wants at least one --permit flag: the names for which another's CA is to be trusted")
	}
	if err := o.Constraints.Validate(); err != nil {
		return usagef("%v", err)
	}
	life, err := c.caValidity("validity", 0)
	if err != nil {
		return err
	}
	if life > 0 {
		o.NotAfter = c.env.Now().Add(life)
	}
	if o.Certificate, err = c.caCertificate(d, args[0]); err != nil {
		return err
	}
	cert, of, err := d.CrossSign(ctx, o)
	switch {
	case errors.Is(err, file.ErrNotOurs):
		return withHint(usagef("%s %v", args[0], err), "--foreign certifies another's CA, within --permit flags; of ours the certificate in ca/ is meant")
	case errors.Is(err, file.ErrNoKey):
		return withHint(err, "--key FILE names the file that holds the key of %s", o.By)
	case err != nil:
		return err
	}
	return c.releaseCross(d, cert, of)
}

// caCertificate reads a CA certificate from a file, or finds it by an authority's name.
func (c *call) caCertificate(d *file.Directory, arg string) (*x509.Certificate, error) {
	if _, err := os.Lstat(arg); err != nil && file.ValidName(arg) {
		a, err := d.Authority(arg)
		return a.Certificate, err
	}
	certs, err := c.certificates([]string{arg})
	if err != nil {
		return nil, err
	}
	return certs[0], nil
}

// releaseCross hands out a cross-signature that has been recorded and kept.
func (c *call) releaseCross(d *file.Directory, cert *x509.Certificate, of string) error {
	doc := ui.CrossSigned{Authority: of, Signer: c.String("by"), Subject: cert.Subject.String(), CommonName: cert.Subject.CommonName,
		Issuer: cert.Issuer.String(), Serial: ca.FormatSerial(cert.SerialNumber), Fingerprint: ca.Fingerprint(cert), NotBefore: cert.NotBefore.UTC(),
		NotAfter: cert.NotAfter.UTC(), PEM: string(pemfile.EncodeCertificates(cert)), Now: c.env.Now()}
	if cert.MaxPathLen > 0 || cert.MaxPathLenZero {
		doc.MaxPathLen = &cert.MaxPathLen
	}
	if of != "" {
		doc.File = d.CrossPath(of, doc.Signer)
	}
	out := c.String("out")
	switch {
	case out == "-" || out == "" && of == "" && !c.wantsJSON():
		return c.writeOut("-", []byte(doc.PEM))
	case out != "":
		if err := c.writeOut(out, []byte(doc.PEM)); err != nil {
			return err
		}
		doc.File = out
	}
	return c.say(doc)
}

func reissueCommand() *command {
	return &command{
		name:    "reissue",
		summary: "give an intermediate another certificate for the same key",
		args:    "NAME",
		about: "Has an intermediate's issuer certify its key again: the same name, key, path length and constraints, and a new time. " +
			"What the intermediate has signed stays good; chains beside the services' certificates become the new one's with the " +
			"next renewal. The certificate that is replaced stays in the ledger. A revoked one is not certified again.",
		examples: []example{
			{"for another 3 years", "meshpki ca reissue issuing --validity 3y"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused),
		flags: common(
			text("validity", "how long it lives, a `DURATION` (default: as long as the one before, cut to its issuer's end)"),
			text("key", "the `FILE` or key URI with its issuer's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input (MESHPKI_PASSPHRASE_FILE)"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
		),
		run: runReissue,
	}
}

func runReissue(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "the NAME of an intermediate")
	if err != nil {
		return err
	}
	life, err := c.caValidity("validity", 0)
	if err != nil {
		return err
	}
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	a, err := d.Authority(args[0])
	if err != nil {
		return err
	}
	parent, err := d.Parent(a.Name)
	if errors.Is(err, file.ErrIsRoot) {
		return usagef("%v: its certificate is what others trust, and a new one has to reach them all", err)
	}
	if err != nil {
		return err
	}
	v := ca.Validity{NotAfter: c.env.Now().Add(life)}
	if life == 0 {
		if v, err = c.likeBefore(a, parent); err != nil {
			return err
		}
	}
	again, err := d.Reissue(ctx, a.Name, c.keySource(), v)
	if errors.Is(err, file.ErrNoKey) {
		return withHint(err, "--key FILE names the file that holds the key of %s", parent.Name)
	}
	if err != nil {
		return err
	}
	now := c.env.Now()
	return c.say(ui.Authorities{List: describeAuthorities([]file.Authority{again}, now), Now: now, Again: true, Dir: c.dir()})
}

// likeBefore is the time of a certificate that lives as long as the one before it,
// or until its issuer ends. Where nothing is gained, that is the answer.
func (c *call) likeBefore(a, parent file.Authority) (ca.Validity, error) {
	now := c.env.Now()
	v := ca.Validity{NotAfter: now.Add(a.Certificate.NotAfter.Sub(a.Certificate.NotBefore) - ca.Backdate)}
	end, whose := parent.Ends()
	if v.NotAfter.After(end) {
		v.NotAfter = end
		c.notice("it ends with %s, on %s", ui.Clean(whose.Subject.CommonName), ui.Day(end))
	}
	if v.NotAfter.Sub(a.Certificate.NotAfter) < time.Minute {
		return v, &ca.Refusal{What: "re-issuing " + a.Name, Why: fmt.Sprintf("it would end no later than now, on %s: %s",
			ui.Day(v.NotAfter), ending(v.NotAfter.Equal(end), whose)), Citation: ""}
	}
	return v, nil
}

// ending says why a certificate cannot end later.
func ending(cut bool, whose *x509.Certificate) string {
	if cut {
		return whose.Subject.CommonName + " ends then"
	}
	return "--validity asks for more"
}
