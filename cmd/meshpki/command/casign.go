package command

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/pemfile"
)

func caSignCommand() *command {
	return &command{
		name:    "sign",
		summary: "sign the request for an intermediate of another machine",
		args:    "CSR",
		about: "The second of three steps between two machines: signs what meshpki ca csr asked for, on the machine with the root's key. " +
			"What the certificate will be is said by the flags here and not by the request, of which only key and common name are " +
			"taken; both are shown beside each other, and on a terminal it asks before it signs. What the CAs above do not allow is " +
			"refused. Certificate, the CAs above it and the root go to --out, or to standard output.",
		examples: []example{
			{"what the other machine asked for", "meshpki ca sign online/ca/online.csr --out online.crt --yes"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused),
		flags: common(wishFlags(
			text("parent", "the `NAME` of the authority that signs (default root)"),
			text("common-name", "the common name to certify, a `TEXT` (default: the request's)"),
			text("out", "write the certificate to `FILE` instead of standard output"),
			toggle("force", "replace the file"),
			toggle("yes", "sign without asking"),
			text("key", "the `FILE` or key URI with the signer's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input (MESHPKI_PASSPHRASE_FILE)"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
		)...),
		run: runCASign,
	}
}

// signing is one signature in the making.
type signing struct {
	dir    *file.Directory
	signer file.Authority
	csr    *x509.CertificateRequest
	spec   ca.Spec
	review ui.CAReview
}

func runCASign(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "the request: a FILE")
	if err != nil {
		return err
	}
	if err := c.checkOut(); err != nil {
		return err
	}
	if !c.Bool("yes") && (!c.env.StdinTTY || args[0] == "-") {
		return usagef("signing wants an answer, and there is no terminal to ask on").withHint("--yes signs without asking")
	}
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	parent, err := d.Root()
	if err != nil {
		return err
	}
	signer, err := d.Authority(c.or("parent", parent))
	if err != nil {
		return err
	}
	s := &signing{dir: d, signer: signer}
	if s.csr, err = c.readRequest(args[0]); err != nil {
		return err
	}
	t := c.transcript("sign")
	t.line("request", args[0])
	t.line("key", keyFingerprint(s.csr))
	chain, err := s.sign(ctx, c, t)
	if err != nil {
		if _, usage := errors.AsType[*usageError](err); usage {
			return err // nothing was attempted
		}
		_, kept := t.end(d, err)
		return errors.Join(err, kept)
	}
	return s.release(c, t, chain)
}

// readRequest reads a certificate request, PEM or DER.
func (c *call) readRequest(name string) (*x509.CertificateRequest, error) {
	data, err := c.readSource(name)
	if err != nil {
		return nil, err
	}
	der := data
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == pemfile.TypeRequest || block.Type == "NEW "+pemfile.TypeRequest {
			der = block.Bytes
			break
		}
	}
	csr, err := ca.ParseCSR(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return csr, nil
}

// sign settles what will be signed, shows it, asks, and signs. The chain has the
// root at its end.
func (s *signing) sign(ctx context.Context, c *call, t *transcript) ([]*x509.Certificate, error) {
	if err := s.settle(c); err != nil {
		return nil, err
	}
	wish, err := ca.Wish(s.csr)
	if err != nil {
		return nil, err
	}
	preview, err := s.dir.PreviewCA(ctx, s.signer.Name, s.spec, s.csr.PublicKey)
	if err != nil {
		return nil, err
	}
	s.review = ui.CAReview{Signer: s.signer.Name, CommonName: s.signer.Certificate.Subject.CommonName,
		Fingerprint: ca.Fingerprint(s.signer.Certificate), Attributes: compared(wish, preview), Key: keyFingerprint(s.csr)}
	t.show(s.review.Text)
	page := ui.NewPage(c.env.look(c.env.StderrTTY, c.Bool("no-color")))
	s.review.Text(page)
	fmt.Fprint(c.env.Stderr, page)
	if err := c.confirm("sign it? [yes/no] ", t); err != nil {
		return nil, err
	}
	issuer, err := s.dir.Issuer(s.signer.Name, c.keySource())
	if errors.Is(err, file.ErrNoKey) {
		return nil, withHint(err, "--key FILE names the file that holds the key of %s", s.signer.Name)
	}
	if err != nil {
		return nil, err
	}
	chain, err := issuer.IssueCA(ctx, s.spec, s.csr.PublicKey)
	if err != nil {
		return nil, err
	}
	root := append([]*x509.Certificate{s.signer.Certificate}, s.signer.Above...)
	return append(chain, root[len(root)-1]), nil
}

// settle reads from the flags what will be signed: of the request the common name
// alone is taken, where no flag gives one, and only if it is nobody else's.
func (s *signing) settle(c *call) error {
	spec, shape, err := c.wishedSpec(s.dir.Settings(), ca.KeyTypeOf(s.csr.PublicKey))
	if err != nil {
		return err
	}
	s.spec = spec
	if s.spec.CommonName = orElse(c.String("common-name"), shape.CommonName); s.spec.CommonName == "" {
		if s.spec.CommonName, err = ca.CommonNameOf(s.csr); err != nil {
			return withHint(err, "--common-name gives the name to certify")
		}
	}
	if err := s.checkName(c); err != nil {
		return err
	}
	if c.IsSet("validity") {
		return nil
	}
	for _, above := range append([]*x509.Certificate{s.signer.Certificate}, s.signer.Above...) {
		if s.spec.NotAfter.After(above.NotAfter) {
			s.spec.NotAfter = above.NotAfter
		}
	}
	return nil
}

// checkName refuses the name of a CA that would stand above the new one: its
// certificate would look as if it were that CA's own. Another's is only told.
func (s *signing) checkName(c *call) error {
	for _, above := range append([]*x509.Certificate{s.signer.Certificate}, s.signer.Above...) {
		if above.Subject.CommonName == s.spec.CommonName {
			return &ca.Refusal{What: fmt.Sprintf("the name %q", s.spec.CommonName), Why: "it is that of a CA above", Citation: "RFC 5280, Section 4.1.2.6"}
		}
	}
	all, err := s.dir.Authorities()
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Certificate.Subject.CommonName == s.spec.CommonName && !pemfile.SamePublicKey(a.Certificate.PublicKey, s.csr.PublicKey) {
			c.notice("warning: authority %s here has the same name, %q, and another key", a.Name, s.spec.CommonName)
		}
	}
	return nil
}

// confirm asks on the terminal, unless --yes has answered already.
func (c *call) confirm(question string, t *transcript) error {
	if c.Bool("yes") {
		t.line("answered", "yes, by --yes")
		return nil
	}
	answer, err := c.ask(question)
	if err != nil {
		return err
	}
	t.line("answered", answer)
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "yes" && a != "y" {
		return &ca.Refusal{What: "the request", Why: "the answer was not yes"}
	}
	return nil
}

// ask reads a line from the terminal, which shows it as it is typed.
func (c *call) ask(question string) (string, error) {
	answer, err := c.await(question, func() ([]byte, error) {
		var line []byte
		for b := make([]byte, 1); ; {
			n, err := c.env.Stdin.Read(b)
			if n == 1 && b[0] != '\n' && len(line) < 100 {
				line = append(line, b[0])
			}
			if n == 1 && b[0] == '\n' || errors.Is(err, io.EOF) {
				return line, nil
			}
			if err != nil {
				return nil, err
			}
		}
	})
	return string(answer), err
}

// release keeps the transcript, and then hands out what was signed.
func (s *signing) release(c *call, t *transcript, chain []*x509.Certificate) error {
	cert, root := chain[0], chain[len(chain)-1]
	doc := ui.CASigned{Serial: ca.FormatSerial(cert.SerialNumber), Fingerprint: ca.Fingerprint(cert), Subject: cert.Subject.String(),
		CommonName: cert.Subject.CommonName, Issuer: cert.Issuer.CommonName, Root: ca.Fingerprint(root), NotBefore: cert.NotBefore.UTC(),
		NotAfter: cert.NotAfter.UTC(), Attributes: s.review.Attributes, PEM: string(pemfile.EncodeCertificates(chain...)), Now: c.env.Now()}
	t.line("signed", "serial "+doc.Serial)
	t.line("signed", "sha256 "+doc.Fingerprint)
	t.line("root", "sha256 "+doc.Root)
	var err error
	if doc.Transcript, err = t.end(s.dir, nil); err != nil {
		return err
	}
	out := c.String("out")
	format, err := c.format()
	if err != nil {
		return err
	}
	if out != "" && out != "-" {
		if err := c.writeOut(out, []byte(doc.PEM)); err != nil {
			return err
		}
		doc.File = out
		return c.say(doc)
	}
	if format == "json" {
		return c.say(doc)
	}
	return c.writeOut("-", []byte(doc.PEM))
}

// requestPEM is a certificate request as text.
func requestPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemfile.TypeRequest, Bytes: der})
}

// exists tells whether there is anything of that name.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
