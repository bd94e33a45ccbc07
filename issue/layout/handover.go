package layout

import (
	"crypto"
	"crypto/x509"
	encoding "encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// Handover is a CA, as a consumer that signs by itself is handed it.
type Handover struct {
	// Chain is the CA first, then those above it, without the root.
	Chain []*x509.Certificate
	Roots []*x509.Certificate
	// Key is the CA's own; nil where the consumer wants none.
	Key crypto.Signer
	// CRLs are in DER; there need not be any.
	CRLs [][]byte
	// TrustDomain is the name alone, and ClusterDomain that of the cluster's DNS.
	TrustDomain, ClusterDomain string
	// Scheme is one of the consumer's, Namespace where it lives, Mesh which of its meshes.
	Scheme, Namespace, Mesh string
	// Before is the scheme in which it was handed the CA before; "" is not known.
	Before string
	// Upstream is how SPIRE gets at a CA that is kept elsewhere; its zero value is a CA
	// that is handed out as files.
	Upstream Upstream
	Now      time.Time
}

// Change is what becomes of a consumer's roots and CA, as against what it was handed
// before.
type Change string

// The changes, from none to one that nothing bridges.
const (
	ChangeFirst    Change = "first"    // nothing was handed out before
	ChangeNone     Change = "none"     // the same
	ChangeScheme   Change = "scheme"   // the same in another scheme
	ChangeIssuer   Change = "issuer"   // another CA under the same roots
	ChangeSuperset Change = "superset" // the old roots, and more
	ChangeSubset   Change = "subset"   // some of the old roots
	ChangeRoots    Change = "roots"    // other roots
)

// ChangeOf compares roots by their fingerprints, and the CA by whether it is the same.
func ChangeOf(was, is []string, sameCA bool) Change {
	holds := func(a, b []string) bool {
		return !slices.ContainsFunc(b, func(f string) bool { return !slices.Contains(a, f) })
	}
	switch more, less := holds(is, was), holds(was, is); {
	case len(was) == 0:
		return ChangeFirst
	case more && less && sameCA:
		return ChangeNone
	case more && less:
		return ChangeIssuer
	case more:
		return ChangeSuperset
	case less:
		return ChangeSubset
	}
	return ChangeRoots
}

// Consumer is a program that loads a CA, or what it trusts.
type Consumer struct {
	Name  string
	Title string // as people write it
	// Schemes are the forms that it takes, the first by default; Namespace is where it
	// lives in a cluster.
	Schemes   []string
	Namespace string
	// Keyless says that it wants no private key.
	Keyless bool

	parts    map[string]parts
	unpack   func(f issue.Files) (issue.Files, error)
	extra    func(h *Handover) (issue.Files, error)
	objects  func(h *Handover) ([]node, error)
	enforce  func(h *Handover) []enforcing
	restarts func(h *Handover, c Change) []string
	// switches says what has to be done where it had the CA in another scheme, before
	// all else; nil where nothing has.
	switches func(h *Handover) []string
}

// parts are the names of the files in which one scheme has its material.
type parts struct {
	ca       string // the CA by itself; "" where the chain says it
	chain    string // the CA and those above it
	key      string
	roots    string
	crl      string
	rootLast bool // the roots stand behind the chain, in its file
}

// Step is a manifest that makes mutual TLS mandatory, and what has to be so before.
type Step struct {
	Name string // of its file
	Says string
	Text []byte
}

type enforcing struct {
	says string
	docs []node
}

// Handed is what a consumer loads.
type Handed struct {
	Files    issue.Files
	Manifest []byte // YAML; nil where there is no such form
	Enforce  []Step
}

// ConsumerByName finds a consumer.
func ConsumerByName(name string) (Consumer, error) {
	for _, c := range HandoverConsumers() {
		if c.Name == name {
			return c, nil
		}
	}
	return Consumer{}, fmt.Errorf("consumer %q is none of %s", name, strings.Join(ConsumerNames(), ", "))
}

// ConsumerNames lists the consumers.
func ConsumerNames() []string {
	var names []string
	for _, c := range HandoverConsumers() {
		names = append(names, c.Name)
	}
	return names
}

// HandoverConsumers lists all consumers of CAs.
func HandoverConsumers() []Consumer {
	return []Consumer{istio(), linkerd(), dapr(), kuma(), spire(), consul(), certIssuer(), nginxMesh(), envoyMesh()}
}

// Settle fills in what was not said, and refuses a scheme that the consumer has not.
func (c Consumer) Settle(h *Handover) error {
	if h.Scheme == "" {
		h.Scheme = c.Schemes[0]
	}
	if h.Namespace == "" {
		h.Namespace = c.Namespace
	}
	if h.Mesh == "" {
		h.Mesh = "default"
	}
	if !slices.Contains(c.Schemes, h.Scheme) {
		return fmt.Errorf("%s has no scheme %q: it has %s", c.Title, h.Scheme, strings.Join(c.Schemes, ", "))
	}
	return nil
}

// Findings judges the CA by the consumer's own rules. A CA that is kept elsewhere is
// not looked at.
func (c Consumer) Findings(h *Handover) []inspect.Finding {
	if h.Upstream.Plugin != "" && h.Upstream.Plugin != pluginDisk {
		return nil
	}
	rules := c.Name
	if h.Scheme == schemeMeshIdentity {
		rules = "kuma-identity"
	}
	m := inspect.Material{Chain: h.Chain, Roots: h.Roots, TrustDomain: h.TrustDomain}
	for _, der := range h.CRLs {
		if l, err := x509.ParseRevocationList(der); err == nil {
			m.CRLs = append(m.CRLs, l)
		}
	}
	return inspect.CheckMaterial(rules, m, h.Now)
}

// Hand gives what the consumer loads. What it would refuse has been asked with
// Findings before; a scheme has been settled with Settle.
func (c Consumer) Hand(h *Handover, enforce bool) (*Handed, error) {
	out := &Handed{Files: issue.Files{}}
	if p, ok := c.parts[h.Scheme]; ok && (h.Upstream.Plugin == "" || h.Upstream.Plugin == pluginDisk) {
		if err := p.write(c, h, out.Files); err != nil {
			return nil, err
		}
	}
	if c.extra != nil {
		more, err := c.extra(h)
		if err != nil {
			return nil, err
		}
		maps.Copy(out.Files, more)
	}
	if c.objects != nil {
		docs, err := c.objects(h)
		if err != nil {
			return nil, err
		}
		if out.Manifest, err = encodeYAML(docs...); err != nil {
			return nil, err
		}
	}
	if !enforce {
		return out, nil
	}
	if c.enforce == nil {
		return nil, fmt.Errorf("%s signs, and demands nothing: what uses its certificates does", c.Title)
	}
	for i, e := range c.enforce(h) {
		text, err := encodeYAML(e.docs...)
		if err != nil {
			return nil, err
		}
		out.Enforce = append(out.Enforce, Step{Name: fmt.Sprintf("enforce-%d.yaml", i+1), Says: e.says, Text: text})
	}
	return out, nil
}

// Restarts says what has to be restarted, and in which order, for a change to take hold.
func (c Consumer) Restarts(h *Handover, change Change) []string {
	in := *h
	if in.Namespace == "" {
		in.Namespace = c.Namespace
	}
	var first []string
	if h.switched() && change != ChangeFirst && c.switches != nil {
		first = c.switches(&in)
	}
	switch {
	case change == ChangeNone:
		return []string{"nothing: it is what was handed out before"}
	case change == ChangeScheme && len(first) > 0:
		return first
	case change == ChangeScheme:
		return []string{"nothing: it is the same CA in another form"}
	}
	return append(first, c.restarts(&in, change)...)
}

// switched tells whether it was handed out in another scheme before.
func (h *Handover) switched() bool { return h.Before != "" && h.Before != h.Scheme }

// In is the change, with another scheme counted for one.
func (c Change) In(h *Handover) Change {
	if c == ChangeNone && h.switched() {
		return ChangeScheme
	}
	return c
}

// write puts the material into the files of a scheme.
func (p parts) write(c Consumer, h *Handover, into issue.Files) error {
	if p.ca != "" {
		into[p.ca] = issue.File{Data: pemfile.EncodeCertificates(h.Chain[0])}
	}
	if p.chain != "" {
		chain := h.Chain
		if p.rootLast && !slices.ContainsFunc(h.Roots, h.Chain[len(h.Chain)-1].Equal) {
			chain = slices.Concat(h.Chain, h.Roots)
		}
		into[p.chain] = issue.File{Data: pemfile.EncodeCertificates(chain...)}
	}
	if p.roots != "" {
		into[p.roots] = issue.File{Data: pemfile.EncodeCertificates(h.Roots...)}
	}
	if p.crl != "" && len(h.CRLs) > 0 {
		into[p.crl] = issue.File{Data: encodeCRLs(h.CRLs)}
	}
	if p.key == "" || c.Keyless {
		return nil
	}
	if h.Key == nil {
		return errNoKey
	}
	key, err := pemfile.EncodeKey(h.Key)
	if err != nil {
		return fmt.Errorf("the CA's key cannot be handed out: it is in a device, or of a kind that has no form: %w", err)
	}
	into[p.key] = issue.File{Data: key, Secret: true}
	return nil
}

func encodeCRLs(crls [][]byte) []byte {
	var out []byte
	for _, der := range crls {
		out = append(out, encoding.EncodeToMemory(&encoding.Block{Type: pemfile.TypeCRL, Bytes: der})...)
	}
	return out
}

// Read finds the CA in files that the consumer loads, whatever their scheme. The key
// may be missing, and then is nil.
func (c Consumer) Read(f issue.Files) (*Handover, error) {
	if c.unpack != nil {
		var err error
		if f, err = c.unpack(f); err != nil {
			return nil, err
		}
	}
	schemes := slices.Clone(c.Schemes)
	// Of schemes that share names, the one with the most of its files is meant.
	slices.SortStableFunc(schemes, func(a, b string) int { return c.parts[b].found(f) - c.parts[a].found(f) })
	for _, scheme := range schemes {
		p, ok := c.parts[scheme]
		if !ok {
			continue
		}
		if c.Keyless {
			if f[p.roots].Data == nil {
				continue
			}
			return p.readRoots(scheme, f)
		}
		chain := p.chain
		if chain == "" || p.ca != "" && f[chain].Data == nil {
			chain = p.ca
		}
		if f[chain].Data == nil {
			continue
		}
		return p.read(scheme, chain, f)
	}
	return nil, fmt.Errorf("there is nothing that %s loads as its CA", c.Title)
}

// found counts the files of a scheme that there are.
func (p parts) found(f issue.Files) (n int) {
	for _, name := range []string{p.ca, p.chain, p.key, p.roots, p.crl} {
		if name != "" && f[name].Data != nil {
			n++
		}
	}
	return n
}

// readRoots is read for a consumer that is handed roots alone: the first stands for all.
func (p parts) readRoots(scheme string, f issue.Files) (*Handover, error) {
	p.key = ""
	h, err := p.read(scheme, p.roots, f)
	if err != nil {
		return nil, err
	}
	h.Chain = h.Roots[:1]
	return h, nil
}

func (p parts) read(scheme, chain string, f issue.Files) (*Handover, error) {
	h := &Handover{Scheme: scheme}
	var err error
	if h.Chain, err = pemfile.Certificates(f[chain].Data); err != nil {
		return nil, fmt.Errorf("%s: %w", chain, err)
	}
	if p.roots != "" && f[p.roots].Data != nil {
		if h.Roots, err = pemfile.Certificates(f[p.roots].Data); err != nil {
			return nil, fmt.Errorf("%s: %w", p.roots, err)
		}
	}
	// What is self-signed at the chain's end is a root, in whichever file it stands.
	for last := h.Chain[len(h.Chain)-1]; len(h.Chain) > 1 && last.CheckSignatureFrom(last) == nil; last = h.Chain[len(h.Chain)-1] {
		h.Chain = h.Chain[:len(h.Chain)-1]
		if !slices.ContainsFunc(h.Roots, last.Equal) {
			h.Roots = append([]*x509.Certificate{last}, h.Roots...)
		}
	}
	if p.crl != "" {
		for rest := f[p.crl].Data; ; {
			var block *encoding.Block
			if block, rest = encoding.Decode(rest); block == nil {
				break
			}
			if block.Type == pemfile.TypeCRL {
				h.CRLs = append(h.CRLs, block.Bytes)
			}
		}
	}
	if p.key == "" || f[p.key].Data == nil {
		return h, nil
	}
	h.Key, err = pemfile.ParseKey(f[p.key].Data, nil)
	if err != nil && !errors.Is(err, pemfile.ErrNoKey) {
		return nil, fmt.Errorf("%s: %w", p.key, err)
	}
	return h, nil
}

// Upstreams tells whether the consumer may have its CA signed by somebody else.
func (c Consumer) Upstreams() bool {
	_, disk := c.parts[pluginDisk]
	return disk
}
