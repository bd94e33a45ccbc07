package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// maxMaterial bounds the files of a directory that is read.
const maxMaterial = 200

// runCAFrom reads back what a mesh loads as its CA.
func runCAFrom(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "the directory or manifest with the CA: a DIR")
	if err != nil {
		return err
	}
	if err := oneOf("from", c.String("from"), layout.ConsumerNames()); err != nil {
		return err
	}
	for _, flag := range []string{"root", "root-fingerprint"} {
		if c.IsSet(flag) && !c.IsSet("adopt") {
			return usagef("--%s goes with --from where --adopt is given", flag)
		}
	}
	if name := c.String("adopt"); c.IsSet("adopt") {
		if err := checkAuthorityName("--adopt", name); err != nil {
			return err
		}
	}
	consumer, err := layout.ConsumerByName(c.String("from"))
	if err != nil {
		return usagef("--from: %v", err)
	}
	files, err := c.materialFiles(args[0])
	if err != nil {
		return err
	}
	h, err := consumer.Read(files)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	h.Now = c.env.Now()
	doc, err := c.describeHandover(consumer, h)
	if err != nil {
		return err
	}
	if c.IsSet("adopt") {
		if err := c.adopt(ctx, h, &doc); err != nil {
			return err
		}
	}
	if err := c.say(doc); err != nil {
		return err
	}
	if !doc.Loads && !c.IsSet("adopt") {
		return errNo
	}
	return nil
}

// materialFiles reads a directory, or one manifest.
func (c *call) materialFiles(path string) (issue.Files, error) {
	info, err := os.Stat(path)
	if err != nil && path != "-" {
		return nil, err
	}
	if path == "-" || !info.IsDir() {
		data, err := c.readSource(path)
		if err != nil {
			return nil, err
		}
		files, err := layout.Unpack(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return files, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	files := issue.Files{}
	for i, e := range entries {
		if i == maxMaterial {
			return nil, fmt.Errorf("%s has more than %d files", path, maxMaterial)
		}
		name := filepath.Join(path, e.Name())
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, err := pemfile.ReadFile(name)
		if errors.Is(err, pemfile.ErrEmpty) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[e.Name()] = issue.File{Data: data}
		if ext := filepath.Ext(name); ext != ".yaml" && ext != ".yml" || strings.HasPrefix(e.Name(), "enforce-") {
			continue
		}
		inside, err := layout.Unpack(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		maps.Copy(files, inside)
	}
	return files, nil
}

// describeHandover says what such material is.
func (c *call) describeHandover(consumer layout.Consumer, h *layout.Handover) (ui.CAFound, error) {
	now := c.env.Now()
	leaf := h.Chain[0]
	doc := ui.CAFound{Consumer: consumer.Name, Title: consumer.Title, Scheme: h.Scheme, Subject: leaf.Subject.String(), CommonName: leaf.Subject.CommonName,
		Issuer: leaf.Issuer.String(), KeyType: string(ca.KeyTypeOf(leaf.PublicKey)), Serial: ca.FormatSerial(leaf.SerialNumber), Fingerprint: ca.Fingerprint(leaf),
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(), Above: len(h.Chain) - 1, Roots: fingerprints(h.Roots), CRLs: len(h.CRLs), Now: now, Loads: true}
	switch {
	case h.Key == nil:
		doc.Key = "missing"
	case pemfile.SamePublicKey(h.Key.Public(), leaf.PublicKey):
		doc.Key = "matches"
	default:
		doc.Key = "differs"
	}
	doc.Loads = doc.Key == "matches" || consumer.Keyless
	doc.Findings = consumer.Findings(h)
	for _, f := range doc.Findings {
		doc.Loads = doc.Loads && f.Severity != "error"
	}
	d, err := c.openIfThere()
	if err != nil || d == nil {
		return doc, err
	}
	all, err := d.Authorities()
	for _, a := range all {
		if slices.ContainsFunc(a.Certificates(), leaf.Equal) {
			doc.Authority = a.Name
		}
	}
	return doc, err
}

// adopt takes the CA in, with its key.
func (c *call) adopt(ctx context.Context, h *layout.Handover, doc *ui.CAFound) error {
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	if h.Key == nil {
		return errors.New("the CA's key is not among the files, and without it nothing can be adopted")
	}
	root, err := c.adoptedRoot(h)
	if err != nil {
		return err
	}
	passphrase, err := c.newPassphrase("the key that is taken in")
	if err != nil {
		return err
	}
	a, err := d.Adopt(ctx, c.String("adopt"), slices.Concat(h.Chain, h.Roots), root, h.Key, passphrase)
	if errors.Is(err, file.ErrExists) {
		return withHint(err, "meshpki ca list%s names what is there", c.dirFlag())
	}
	if err != nil {
		return err
	}
	doc.Authority, doc.Adopted = a.Name, true
	return nil
}

// adoptedRoot is the root that the CA is to lead to: one that was named, or one that
// the directory trusts already. What came with the CA is not believed for that alone.
func (c *call) adoptedRoot(h *layout.Handover) (*x509.Certificate, error) {
	if c.IsSet("root") || c.IsSet("root-fingerprint") {
		fingerprint, err := c.rootFingerprint()
		if err != nil {
			return nil, err
		}
		return c.namedRoot(fingerprint, h.Roots)
	}
	d, err := c.open()
	if err != nil {
		return nil, err
	}
	known, err := d.Bundle()
	if err != nil && !errors.Is(err, file.ErrNoAuthority) {
		return nil, err
	}
	for _, r := range known {
		if slices.ContainsFunc(h.Roots, r.Equal) {
			return r, nil
		}
	}
	return nil, usagef("--adopt wants to know the root, which is none of this directory's: --root FILE or --root-fingerprint HEX").
		withHint("from elsewhere than the files that came with the CA")
}
