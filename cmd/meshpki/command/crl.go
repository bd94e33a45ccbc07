package command

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/durable"
)

const (
	crlValidity = 7 * 24 * time.Hour
	// maxCRL is the most bytes of a CRL in a file that is to be replaced: ten million
	// entries in PEM.
	maxCRL = 1 << 30
)

func crlCommand() *command {
	return &command{
		name:    "crl",
		summary: "sign the list of an authority's revoked certificates",
		args:    "[NAME]",
		about: "Signs the certificate revocation list of an authority, by default of the issuing intermediate (RFC 5280, " +
			"Section 5), and prints it. It is recorded in the ledger first, by its number and its SHA-256; the number follows " +
			"the clock and never falls. A certificate stays on the list until it has expired and a list made after that has " +
			"named it.\n\n" +
			"--out writes it to a file, whole or not at all, and replaces the list of the same authority that is there. Verifiers " +
			"that ask for a CRL refuse everything once it has ended: make the next one in good time, from cron or a timer.",
		examples: []example{
			{"of the issuing intermediate, for a web server to publish", "meshpki crl --out issuing.crl"},
			{"of the root: which intermediates are revoked", "meshpki crl root --out root.crl --valid-for 90d"},
			{"in DER, as CRL distribution points have it", "meshpki crl --as der --out issuing.crl.der"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused),
		flags: common(
			text("as", "the list's form: `pem|der` (default pem)"),
			text("out", "write it to `FILE` instead of standard output"),
			text("valid-for", "until the next one, a `DURATION` (default 7d, cut to the authority's end)"),
			toggle("force", "replace a file that is no CRL of this authority"),
			text("key", "the `FILE` or key URI with the authority's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the authority's key; - is standard input"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
		),
		run: runCRL,
	}
}

func runCRL(ctx context.Context, c *call) error {
	args, err := c.arguments(0, 1, "")
	if err != nil {
		return err
	}
	if err := oneOf("as", c.String("as"), []string{"pem", "der"}); err != nil {
		return err
	}
	if _, err := c.format(); err != nil {
		return err
	}
	out := c.String("out")
	if out == "-" {
		out = ""
	}
	if out == "" && c.String("as") == "der" && c.env.StdoutTTY && !c.wantsJSON() {
		return usagef("a list in DER is not for a terminal").withHint("--out FILE writes it to a file")
	}
	d, err := c.openToRevoke()
	if err != nil {
		return err
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	a, err := d.Authority(name)
	if err != nil {
		return err
	}
	var o ca.CRLOrder
	if o.NextUpdate, err = c.nextUpdate(a); err != nil {
		return err
	}
	if o.Replaces, err = c.replacedCRL(out); err != nil {
		return err
	}
	err = d.CRL(ctx, a.Name, c.keySource(), o, func(crl *ca.CRL) error { return c.releaseCRL(a, crl, out) })
	if errors.Is(err, ca.ErrOtherCRL) {
		return withHint(fmt.Errorf("%s exists, and is no CRL of %s that this ledger knows", out, a.Name), "--force replaces it")
	}
	return err
}

// nextUpdate settles until when the list is valid: a default is cut to the
// authority's end, a wish is not.
func (c *call) nextUpdate(a file.Authority) (time.Time, error) {
	life, err := c.duration("valid-for")
	if err != nil {
		return time.Time{}, err
	}
	switch {
	case life == 0 && c.IsSet("valid-for"):
		return time.Time{}, usagef("--valid-for: a list that is valid for no time is none; 7d or 24h would be")
	case life > maxValidity:
		return time.Time{}, usagef("--valid-for: at most 100y")
	case life == 0:
		life = crlValidity
	}
	now, end := c.env.Now(), a.Certificate.NotAfter
	next := now.Add(life)
	if !next.After(end) || !now.Before(end) { // an authority that has ended is refused with its reason
		return next, nil
	}
	if c.IsSet("valid-for") {
		return next, usagef("--valid-for: the list would outlive %s, which ends %s", ui.Clean(a.Certificate.Subject.CommonName), ui.Date(end))
	}
	c.notice("the list ends with %s, on %s", ui.Clean(a.Certificate.Subject.CommonName), ui.Day(end))
	return end, nil
}

// replacedCRL is the SHA-256 of the list in the file that is to be replaced: nothing
// else than a list of the same authority is. Empty, where there is no such file, or
// --force has answered.
func (c *call) replacedCRL(out string) (string, error) {
	if out == "" {
		return "", nil
	}
	if c.within(out) {
		return "", usagef("--out: %s lies inside the state directory", out)
	}
	if c.Bool("force") {
		return "", nil
	}
	f, err := os.Open(out)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCRL))
	if err != nil {
		return "", err
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// releaseCRL hands out a list that has been recorded.
func (c *call) releaseCRL(a file.Authority, crl *ca.CRL, out string) error {
	for _, e := range crl.Above {
		for _, cert := range append([]*x509.Certificate{a.Certificate}, a.Above...) {
			if ca.FormatSerial(cert.SerialNumber) == e.Serial {
				c.notice("warning: %s was revoked on %s (%s): whoever knows that believes no list of %s", ui.Clean(cert.Subject.CommonName),
					ui.Day(e.At), e.Reason, a.Name)
			}
		}
	}
	data := crl.DER
	if c.String("as") != "der" {
		data = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl.DER})
	}
	doc := ui.CRL{Authority: a.Name, Issuer: a.Certificate.Subject.String(), CommonName: a.Certificate.Subject.CommonName,
		Number: crl.Number.String(), ThisUpdate: crl.ThisUpdate, NextUpdate: crl.NextUpdate, Entries: crl.Entries,
		SHA256: crl.SHA256(), File: out, Now: c.env.Now()}
	switch {
	case out != "":
		if err := durable.WriteFile(out, data, 0o644); err != nil {
			return err
		}
	case c.wantsJSON():
		doc.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl.DER}))
	default:
		if _, err := io.Copy(c.env.Stdout, bytes.NewReader(data)); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		return nil
	}
	return c.say(doc)
}
