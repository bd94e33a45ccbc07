package file

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

// Errors that a caller can branch on.
var (
	// ErrPending says that a certificate has been asked for and has not come yet.
	ErrPending = errors.New("its certificate was asked for and has not been imported yet")
	// ErrNoPending says that nothing was asked for that a certificate would answer.
	ErrNoPending = errors.New("it is of no key that a certificate was asked for here")
)

// Pending is an intermediate whose certificate is to come from elsewhere: what was
// asked for, and the request.
type Pending struct {
	Name string
	Spec ca.Spec
	CSR  *x509.CertificateRequest
}

// PendingOptions say what intermediate is to be asked for.
type PendingOptions struct {
	Name       string
	Spec       ca.Spec
	KeyType    ca.KeyType
	Passphrase []byte // of the new key; empty leaves it in the clear
	// KeyURI is where the key is made, or is already; empty is a file of the directory.
	KeyURI string
	Open   func(authority, uri string, create ca.KeyType) (crypto.Signer, error)
}

// RequestPath is the file with the request of an authority that is asked for.
func (d *Directory) RequestPath(name string) string { return filepath.Join(d.path, caDir, name+".csr") }

func (d *Directory) wantedPath(name string) string {
	return filepath.Join(d.path, caDir, name+".wanted.json")
}

// AddPending makes the key of an intermediate and the request for its certificate.
// The request is written last, and with it the intermediate is asked for; a key
// without one was never used. Errors to branch on: ErrExists, ErrPending.
func (d *Directory) AddPending(ctx context.Context, o PendingOptions) (Pending, error) {
	if !ValidName(o.Name) || IsRootName(o.Name) {
		return Pending{}, fmt.Errorf("%q %w", o.Name, errBadCAName)
	}
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return Pending{}, err
	}
	defer lock.Release()
	if _, err := os.Lstat(d.CertificatePath(o.Name)); err == nil {
		return Pending{}, fmt.Errorf("%q: %w", o.Name, ErrExists)
	}
	if _, err := os.Lstat(d.RequestPath(o.Name)); err == nil {
		return Pending{}, fmt.Errorf("%q: %w", o.Name, ErrPending)
	}
	key, err := d.pendingKey(o)
	if err != nil {
		return Pending{}, err
	}
	der, err := ca.RequestCA(o.Spec, key)
	if err != nil {
		return Pending{}, err
	}
	if err := durable.WriteFile(d.wantedPath(o.Name), encodeWanted(o.Spec), publicMode); err != nil {
		return Pending{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemfile.TypeRequest, Bytes: der})
	if err := durable.WriteFile(d.RequestPath(o.Name), text, publicMode); err != nil {
		return Pending{}, err
	}
	return d.readPending(o.Name)
}

// pendingKey makes the key and sees that the directory has it, or its URI.
func (d *Directory) pendingKey(o PendingOptions) (crypto.Signer, error) {
	if o.KeyURI != "" {
		key, err := o.Open(o.Name, o.KeyURI, o.KeyType)
		if err != nil {
			return nil, err
		}
		return key, d.writeURI(o.Name, o.KeyURI)
	}
	key, err := ca.NewKey(o.KeyType)
	if err != nil {
		return nil, err
	}
	data, err := encodeKey(key, o.Passphrase)
	if err != nil {
		return nil, err
	}
	return key, durable.WriteFile(d.keyPath(o.Name), data, secretMode)
}

// Pending lists what was asked for and has not come, by name.
func (d *Directory) Pending() ([]Pending, error) {
	files, err := os.ReadDir(filepath.Join(d.path, caDir))
	if err != nil {
		return nil, err
	}
	var all []Pending
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".csr")
		if !ok || !ValidName(name) {
			continue
		}
		if _, err := os.Lstat(d.CertificatePath(name)); err == nil {
			continue // it has come; taking the request away was interrupted
		}
		p, err := d.readPending(name)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (d *Directory) readPending(name string) (Pending, error) {
	p := Pending{Name: name}
	data, err := pemfile.ReadFile(d.RequestPath(name))
	if err != nil {
		return p, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemfile.TypeRequest {
		return p, fmt.Errorf("%s: no certificate request in it", d.RequestPath(name))
	}
	if p.CSR, err = ca.ParseCSR(block.Bytes); err != nil {
		// Nobody's wish is refused: it is our own file that is not what was written.
		return p, fmt.Errorf("%s is damaged: %s", d.RequestPath(name), err.Error())
	}
	if data, err = pemfile.ReadFile(d.wantedPath(name)); err != nil {
		return p, err
	}
	if p.Spec, err = decodeWanted(data); err != nil {
		return p, fmt.Errorf("%s is damaged: %w", d.wantedPath(name), err)
	}
	return p, nil
}

// wanted is a ca.Spec as the directory keeps it.
type wanted struct {
	Schema     string    `json:"schema"`
	CommonName string    `json:"commonName"`
	MaxPathLen int       `json:"maxPathLen"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	URI        string    `json:"uri,omitempty"` // a trust domain
	DNS        []string  `json:"permitDns,omitempty"`
	SPIFFE     []string  `json:"permitSpiffe,omitempty"`
	CIDR       []string  `json:"permitCidr,omitempty"`
	Email      []string  `json:"permitEmail,omitempty"`
	Open       bool      `json:"open,omitempty"`
}

const wantedSchema = "meshpki/wanted/v1"

func encodeWanted(s ca.Spec) []byte {
	w := wanted{Schema: wantedSchema, CommonName: s.CommonName, MaxPathLen: s.MaxPathLen, NotBefore: s.NotBefore.UTC(),
		NotAfter: s.NotAfter.UTC(), DNS: s.Constraints.DNS, Email: s.Constraints.Email, Open: s.Constraints.Open}
	if !s.URI.IsZero() {
		w.URI = s.URI.String()
	}
	for _, td := range s.Constraints.URI {
		w.SPIFFE = append(w.SPIFFE, td.String())
	}
	for _, p := range s.Constraints.IP {
		w.CIDR = append(w.CIDR, p.String())
	}
	// Texts, numbers and times of four digits a year: there is nothing that JSON cannot say.
	data, _ := json.MarshalIndent(w, "", "  ")
	return append(data, '\n')
}

func decodeWanted(data []byte) (ca.Spec, error) {
	var w wanted
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return ca.Spec{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return ca.Spec{}, errors.New("something stands behind it")
	}
	if w.Schema != wantedSchema {
		return ca.Spec{}, errors.New("it is of no version that is known here")
	}
	s := ca.Spec{CommonName: w.CommonName, MaxPathLen: w.MaxPathLen, NotBefore: w.NotBefore, NotAfter: w.NotAfter,
		Constraints: ca.Constraints{DNS: w.DNS, Email: w.Email, Open: w.Open}}
	var err error
	if w.URI != "" {
		if s.URI, err = spiffeid.ParseTrustDomain(w.URI); err != nil {
			return s, err
		}
	}
	for _, text := range w.SPIFFE {
		td, err := spiffeid.ParseTrustDomain(text)
		if err != nil {
			return s, err
		}
		s.Constraints.URI = append(s.Constraints.URI, td)
	}
	for _, text := range w.CIDR {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return s, err
		}
		s.Constraints.IP = append(s.Constraints.IP, p.Masked())
	}
	return s, s.Constraints.Validate()
}

// Import takes in the certificate of an intermediate that was asked for here, with
// the CAs above it, the root named among others or alone. It finds what was asked
// for by the key; certificate and chain are held against that and the root, and what
// does not agree is a *ca.Refusal. Everything taken in is recorded first. Doing it
// again changes nothing. Errors to branch on: ErrNoPending.
func (d *Directory) Import(ctx context.Context, c *x509.Certificate, others []*x509.Certificate, root *x509.Certificate) (Authority, error) {
	return d.ImportWith(ctx, c, others, root, 0)
}

// ImportWith is Import of a certificate whose key usage may have that besides.
func (d *Directory) ImportWith(ctx context.Context, c *x509.Certificate, others []*x509.Certificate, root *x509.Certificate, mayAlso x509.KeyUsage) (Authority, error) {
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return Authority{}, err
	}
	defer lock.Release()
	present, err := d.census()
	if err != nil {
		return Authority{}, err
	}
	for _, a := range present.all {
		if slices.ContainsFunc(a.Certificates(), c.Equal) {
			return a, d.clearPending(a.Name)
		}
	}
	p, err := d.pendingOf(c)
	if err != nil {
		return Authority{}, err
	}
	p.Spec.MayAlso = mayAlso
	if err := ca.CheckCA(c, p.Spec, p.CSR.PublicKey); err != nil {
		return Authority{}, err
	}
	above, err := ca.Anchor(c, others, root, d.now())
	if err != nil {
		return Authority{}, err
	}
	if err := present.takeIn(ctx, above); err != nil {
		return Authority{}, err
	}
	if err := d.enter(ctx, p.Name, c); err != nil {
		return Authority{}, err
	}
	if err := d.clearPending(p.Name); err != nil {
		return Authority{}, err
	}
	return d.Authority(p.Name)
}

// pendingOf finds what was asked for with the key of a certificate.
func (d *Directory) pendingOf(c *x509.Certificate) (Pending, error) {
	all, err := d.Pending()
	if err != nil {
		return Pending{}, err
	}
	for _, p := range all {
		if pemfile.SamePublicKey(p.CSR.PublicKey, c.PublicKey) {
			return p, nil
		}
	}
	return Pending{}, ErrNoPending
}

// takeIn enters the CAs above an imported one that the directory does not have: the
// root first, so that no CA is ever there without those above it.
func (c *census) takeIn(ctx context.Context, above []*x509.Certificate) error {
	for i := len(above) - 1; i >= 0; i-- {
		top := i == len(above)-1
		if at := c.index(func(a Authority) bool { return slices.ContainsFunc(a.Certificates(), above[i].Equal) }); at >= 0 {
			if top && (!c.all[at].Trusted || c.all[at].Name != c.lead()) {
				return &ca.Refusal{What: "the certificate", Why: "its root is " + c.all[at].Name + ", whose place another one takes"}
			}
			continue
		}
		name := RootName
		if !top {
			name = "above-" + ca.Fingerprint(above[i])[:12]
		}
		if top && c.index(Authority.Root) >= 0 {
			return &ca.Refusal{What: "the certificate", Why: "this directory has another root, and one root is all that it can have for now"}
		}
		if err := c.d.enter(ctx, name, above[i]); err != nil {
			return err
		}
	}
	return nil
}

// noteImported stands with a CA certificate in the ledger that was signed elsewhere.
const noteImported = "imported"

// enter records a CA certificate that was signed elsewhere, once, and makes it an
// authority of the directory.
func (d *Directory) enter(ctx context.Context, name string, c *x509.Certificate) error {
	known := false
	for e, err := range d.Ledger().Entries(ctx) {
		if err != nil {
			return err
		}
		known = known || bytes.Equal(e.Certificate, c.Raw)
	}
	if !known {
		e := ca.EntryOf(ca.KindCA, c, d.now())
		e.Note = noteImported
		if err := d.Ledger().Record(ctx, e); err != nil {
			return fmt.Errorf("record the certificate: %w", err)
		}
	}
	return durable.WriteFile(d.CertificatePath(name), pemfile.EncodeCertificates(c), publicMode)
}

// clearPending takes a request away that has been answered.
func (d *Directory) clearPending(name string) error {
	for _, path := range []string{d.RequestPath(name), d.wantedPath(name)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
