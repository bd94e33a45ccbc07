package file

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// census is the authorities of a directory at one moment, as its settings and a
// rotation in hand have them.
type census struct {
	d        *Directory
	all      []Authority
	settings Settings
	rotation *Rotation // nil where none is in hand
}

// Authorities lists the CAs: the roots first, then by name.
func (d *Directory) Authorities() ([]Authority, error) {
	c, err := d.census()
	if err != nil {
		return nil, err
	}
	for i := range c.all {
		c.all[i].Encrypted = IsEncrypted(c.all[i].KeyPath)
	}
	return c.all, nil
}

// IsEncrypted looks into a key file. Anyone may look at the certificates; who may
// not read the key still sees where it is.
func IsEncrypted(path string) bool {
	if path == "" {
		return false
	}
	data, err := os.ReadFile(path)
	return err == nil && bytes.Contains(data, []byte(pemfile.TypeEncryptedKey))
}

// census reads the authorities, without a look into their keys. What a rotation
// changes meanwhile is read again: it is all before, or all after.
func (d *Directory) census() (*census, error) {
	for tries := 0; ; tries++ {
		c, err := d.count()
		if c == nil {
			return nil, err
		}
		rotation, settings, now := d.phase()
		if now != nil {
			return nil, now
		}
		same := reflect.DeepEqual(rotation, c.rotation) && reflect.DeepEqual(settings, c.settings)
		if same || tries == 9 {
			return c, err
		}
	}
}

// phase reads where a rotation stands, and then the settings: the last phase ends
// with the settings, and then with the rotation's own file.
func (d *Directory) phase() (*Rotation, Settings, error) {
	rotation, err := d.readRotation()
	if err != nil {
		return nil, Settings{}, err
	}
	settings, err := readSettings(d.path)
	if rotation != nil && rotation.New == settings.root() {
		rotation = nil // it is done; what is left of it is its file
	}
	return rotation, settings, err
}

// count reads the authorities once. With an error there may be a census, of which
// the moment alone can be told.
func (d *Directory) count() (*census, error) {
	c := &census{d: d}
	var err error
	if c.rotation, c.settings, err = d.phase(); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(filepath.Join(d.path, caDir))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".crt")
		if !ok || !ValidName(name) || c.rotation.hides(name) {
			continue
		}
		a, err := d.readAuthority(name)
		if err != nil {
			return c, err
		}
		c.all = append(c.all, a)
	}
	if r := c.rotation; r.underWay() {
		for _, name := range []string{r.Old, r.New} {
			if _, err := c.pick(name); err != nil {
				return c, fmt.Errorf("%s is missing, and a rotation from %s to %s is in hand", d.CertificatePath(name), r.Old, r.New)
			}
		}
	}
	if err := c.readCrosses(files); err != nil {
		return c, err
	}
	if err := c.lost(); err != nil {
		return c, err
	}
	c.arrange()
	return c, nil
}

// lost finds an authority of the settings whose key is here and whose certificate is
// not, although one was signed. One that is only asked for has a request.
func (c *census) lost() error {
	for _, name := range []string{c.settings.root(), c.settings.Issuing} {
		if _, err := c.pick(name); err == nil {
			continue
		}
		if _, err := os.Lstat(c.d.RequestPath(name)); err == nil {
			continue
		}
		if path, uri, err := c.d.keyPlace(name); err != nil || path == "" && uri == "" {
			continue // none was ever made here
		}
		for e, err := range c.d.ledger.Sift(context.Background(), ca.KindCA) {
			if err != nil {
				return err
			}
			made, err := x509.ParseCertificate(e.Certificate)
			if err == nil && selfSigned(made) == (name == c.settings.root()) {
				return fmt.Errorf("%s is missing, and its key is there: put it back from a backup, or from the ledger, where serial %s may be it",
					c.d.CertificatePath(name), e.Serial)
			}
		}
	}
	return nil
}

// arrange settles which certificate of each authority counts, and what is above it.
func (c *census) arrange() {
	for i := range c.all {
		a := &c.all[i]
		if a.Root() {
			a.Stage, a.Trusted = c.stage(a.Name)
		}
		c.choose(a)
	}
	for i := range c.all {
		c.all[i].Above = above(c.all[i].Certificate, c.all)
		for n := range c.all[i].Crosses {
			c.all[i].Crosses[n].Above = above(c.all[i].Crosses[n].Certificate, c.all)
		}
	}
	slices.SortStableFunc(c.all, func(a, b Authority) int {
		if a.Root() != b.Root() {
			if a.Root() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// stage tells what a root is now, and whether it is to be trusted.
func (c *census) stage(name string) (stage string, trusted bool) {
	switch {
	case slices.Contains(c.settings.Retired, name):
		return StageRetired, false
	case c.rotation == nil:
		return "", true
	case name == c.rotation.New:
		return StageNew, true
	case name == c.rotation.Old:
		return StageOld, c.rotation.Phase != PhaseDrop
	}
	return "", true
}

// lead is the root that the chains lead to.
func (c *census) lead() string {
	if r := c.rotation; r != nil && (r.Phase == PhaseSwitch || r.Phase == PhaseDrop) {
		return r.New
	}
	return c.settings.root()
}

// choose has an authority that another root signed go by the certificate that the
// root gave it to which the chains lead.
func (c *census) choose(a *Authority) {
	lead := c.lead()
	by := c.index(func(p Authority) bool { return p.Root() && signed(p.Certificate, a.Certificate) })
	if a.Root() || by < 0 || c.all[by].Name == lead {
		return
	}
	i := slices.IndexFunc(a.Crosses, func(x Cross) bool { return x.Signer == lead })
	if i < 0 {
		return
	}
	own := Cross{Signer: c.all[by].Name, Certificate: a.Certificate}
	a.Certificate, a.Crosses[i] = a.Crosses[i].Certificate, own
	a.Path = c.d.CrossPath(a.Name, lead)
}

func (c *census) index(f func(Authority) bool) int { return slices.IndexFunc(c.all, f) }

// behind is what is served behind a chain while either root may be trusted: the new
// root's certificate by the old one, where the chain leads to the new one.
func (c *census) behind(a Authority) []*x509.Certificate {
	r := c.rotation
	if r == nil || r.Phase != PhaseOverlap && r.Phase != PhaseSwitch {
		return nil
	}
	i := c.index(func(p Authority) bool { return p.Name == r.New })
	if i < 0 {
		return nil
	}
	top := append([]*x509.Certificate{a.Certificate}, a.Above...)
	if !top[len(top)-1].Equal(c.all[i].Certificate) {
		return nil
	}
	for _, x := range c.all[i].Crosses {
		if x.Signer == r.Old {
			return []*x509.Certificate{x.Certificate}
		}
	}
	return nil
}

func (d *Directory) readAuthority(name string) (Authority, error) {
	path := d.CertificatePath(name)
	data, err := pemfile.ReadFile(path)
	if err != nil {
		return Authority{}, err
	}
	certs, err := pemfile.Certificates(data)
	if err != nil {
		return Authority{}, fmt.Errorf("%s: %w", path, err)
	}
	if !certs[0].IsCA || !certs[0].BasicConstraintsValid {
		return Authority{}, fmt.Errorf("%s: it is no CA certificate (RFC 5280, Section 4.2.1.9)", path)
	}
	a := Authority{Name: name, Certificate: certs[0], Path: path}
	a.KeyPath, a.KeyURI, err = d.keyPlace(name)
	return a, err
}

// signed tells whether a CA signed a certificate.
func signed(ca, c *x509.Certificate) bool {
	return bytes.Equal(ca.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(ca) == nil
}

// above finds the CAs over a certificate, nearest first.
func above(c *x509.Certificate, all []Authority) []*x509.Certificate {
	var chain []*x509.Certificate
	for len(chain) < 10 && !selfSigned(c) {
		i := slices.IndexFunc(all, func(p Authority) bool { return signed(p.Certificate, c) })
		if i < 0 {
			break
		}
		c = all[i].Certificate
		chain = append(chain, c)
	}
	return chain
}

// CertificatePath is the file with the first certificate that an authority got;
// Authority.Path is that of the one that counts.
func (d *Directory) CertificatePath(name string) string {
	return filepath.Join(d.path, caDir, name+".crt")
}

// Authority finds a CA by its name; "" is the issuing intermediate.
func (d *Directory) Authority(name string) (Authority, error) {
	c, err := d.census()
	if err != nil {
		return Authority{}, err
	}
	a, err := c.pick(name)
	a.Encrypted = IsEncrypted(a.KeyPath)
	return a, err
}

func (c *census) pick(name string) (Authority, error) {
	if name == "" {
		name = c.settings.Issuing
	}
	for _, a := range c.all {
		if a.Name == name {
			return a, nil
		}
	}
	if _, err := os.Lstat(c.d.RequestPath(name)); ValidName(name) && err == nil {
		return Authority{}, fmt.Errorf("%q: %w", name, ErrPending)
	}
	return Authority{}, fmt.Errorf("%q: %w", name, ErrNoAuthority)
}

// Bundle is the roots to be trusted: both while a root is being rotated.
func (d *Directory) Bundle() ([]*x509.Certificate, error) {
	c, err := d.census()
	if err != nil {
		return nil, err
	}
	return c.roots()
}

func (c *census) roots() ([]*x509.Certificate, error) {
	var roots []*x509.Certificate
	for _, a := range c.all {
		if a.Trusted {
			roots = append(roots, a.Certificate)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%s holds no root", filepath.Join(c.d.path, caDir))
	}
	return roots, nil
}

// Root is the name of the root that new intermediates are made under.
func (d *Directory) Root() (string, error) {
	rotation, settings, err := d.phase()
	c := census{settings: settings, rotation: rotation}
	return c.lead(), err
}

// IsRootName tells whether a name is one that roots have: root, and by rotation
// root-2, root-3 and so on.
func IsRootName(name string) bool {
	n, numbered := strings.CutPrefix(name, RootName+"-")
	return name == RootName || numbered && n != "" && strings.Trim(n, "0123456789") == ""
}
