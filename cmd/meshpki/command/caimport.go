package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue/layout"
)

func caImportCommand() *command {
	return &command{
		name:    "import",
		summary: "take in the certificate that meshpki ca csr asked for, or a mesh's CA",
		args:    "CERT|DIR",
		about: "The third of three steps between two machines: takes in what meshpki ca sign gave. Key, subject, usages, path length, " +
			"names and constraints must be those that were asked for, and the chain must end at the root that you name, by a file of " +
			"yours or by its fingerprint, never by what came with the certificate; else it is refused, with exit code 4. A directory " +
			"without a root gets this one.\n\n" +
			"With --from it reads what a mesh loads as its CA, a directory or a manifest, and says what it is and whether it would " +
			"load (exit code 3 if not). --adopt NAME takes that CA in, with its key; its root must be the directory's, or named.",
		examples: []example{
			{"by the root's certificate", "meshpki ca import online.crt --dir online --root roots.pem"},
			{"what Istio would load", "meshpki ca import --from istio cacerts.yaml"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo, codeRefused),
		flags: common(
			text("from", "read what a mesh loads: `"+strings.Join(layout.ConsumerNames(), "|")+"`"),
			text("adopt", "take that CA in, under a `NAME`"),
			text("passphrase-file", "with --adopt: the first line of `FILE` becomes the passphrase of the key that is taken in"),
			text("root", "the root's certificate, a `FILE` that you have from elsewhere"),
			text("root-fingerprint", "the SHA-256 of the root's certificate, `HEX`, as meshpki ca sign and ca show say it"),
		),
		run: runCAImport,
	}
}

func runCAImport(ctx context.Context, c *call) error {
	if c.IsSet("from") {
		return runCAFrom(ctx, c)
	}
	for _, flag := range []string{"adopt", "passphrase-file"} {
		if c.IsSet(flag) {
			return usagef("--%s goes with --from", flag)
		}
	}
	args, err := c.arguments(1, 1, "the certificate: a FILE")
	if err != nil {
		return err
	}
	fingerprint, err := c.rootFingerprint()
	if err != nil {
		return err
	}
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	data, err := c.readSource(args[0])
	if err != nil {
		return err
	}
	certs, err := pemfile.Certificates(data)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	root, err := c.namedRoot(fingerprint, certs)
	if err != nil {
		return err
	}
	t := c.transcript("import")
	t.line("certificate", "serial "+ca.FormatSerial(certs[0].SerialNumber)+", sha256 "+ca.Fingerprint(certs[0]))
	for i, text := range attributesOf(certs[0], false) {
		t.line("shown", attributeNames[i]+": "+text)
	}
	t.line("root", "sha256 "+ca.Fingerprint(root))
	a, err := d.Import(ctx, certs[0], certs[1:], root)
	if errors.Is(err, file.ErrNoPending) {
		err = &ca.Refusal{What: "the certificate", Why: err.Error()}
	}
	if err != nil {
		_, kept := t.end(d, err)
		return errors.Join(err, kept)
	}
	return c.imported(d, a, t)
}

// imported keeps the transcript and says what was taken in.
func (c *call) imported(d *file.Directory, a file.Authority, t *transcript) error {
	all, err := d.Authorities()
	if err != nil {
		return err
	}
	chain := append([]*x509.Certificate{a.Certificate}, a.Above...)
	var taken []file.Authority
	for i := len(chain) - 1; i >= 0; i-- {
		for _, known := range all {
			if known.Certificate.Equal(chain[i]) {
				taken = append(taken, known)
			}
		}
	}
	now := c.env.Now()
	doc := ui.CAImported{Authorities: describeAuthorities(taken, now), Dir: c.dir(), Now: now}
	if doc.Transcript, err = t.end(d, nil); err != nil {
		return err
	}
	return c.say(doc)
}

// rootFingerprint reads the fingerprint that the root is to have; empty where a
// file names it.
func (c *call) rootFingerprint() (string, error) {
	text := c.String("root-fingerprint")
	switch {
	case c.IsSet("root") == c.IsSet("root-fingerprint"):
		return "", usagef("meshpki ca import wants to know the root: --root FILE or --root-fingerprint HEX, one of them").
			withHint("not from where the certificate came from: meshpki ca show root, on the machine that signed, says it")
	case c.IsSet("root"):
		return "", nil
	}
	hex := strings.ToLower(strings.ReplaceAll(text, ":", ""))
	if len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", usagef("--root-fingerprint: %q is no SHA-256: 64 hexadecimal digits are", text)
	}
	return hex, nil
}

// namedRoot is the root of --root, or the one of that fingerprint among the
// certificates that came.
func (c *call) namedRoot(fingerprint string, came []*x509.Certificate) (*x509.Certificate, error) {
	if fingerprint != "" {
		for _, cert := range came {
			if ca.Fingerprint(cert) == fingerprint {
				return cert, nil
			}
		}
		return nil, &ca.Refusal{What: "the certificate", Why: "none that came with it has the root's fingerprint"}
	}
	data, err := c.readSource(c.String("root"))
	if err != nil {
		return nil, err
	}
	roots, err := pemfile.Certificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.String("root"), err)
	}
	if len(roots) > 1 {
		return nil, usagef("--root: %s holds %d certificates; name the one root", c.String("root"), len(roots))
	}
	return roots[0], nil
}
