package renew

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// seen is what one place answered.
type seen struct {
	set     issue.Set
	version issue.Version
	err     error // of the place; fs.ErrNotExist where it is empty
	record  issue.Record
	chain   []*x509.Certificate
	// intact says that the files are those that were laid out, by their digest.
	intact bool
	// problem says why what is there is no use: not readable, or not a pair.
	problem, mismatch string
	// audit holds what was loaded against mode and owner; nil where that cannot be told.
	audit func(context.Context, issue.Set) ([]string, error)
	// other is the service whose files are there, where it is another.
	other string
	// unseen says that nobody has looked: it is what was delivered there, as far as is known.
	unseen bool
}

// View is what a look at a target found: the state to decide on, and the credential
// in use. It is not safe for concurrent use.
type View struct {
	State State
	// Leaf is the certificate in use; nil where there is none.
	Leaf *x509.Certificate
	// Stale says why some place has not the roots, or the CAs above the leaf, that
	// belong there now; "" where each has.
	Stale string
	// Places say what is wrong with each place of the target, in its order; "" where
	// nothing is.
	Places []string

	// former are the places that the target had, and has no more, as its places tell.
	former []string

	unseen bool     // nobody has looked at some place: what was delivered there is due
	parts  *glimpse // of a view that was kept in few bytes
	seen   []seen
	lead   int // the place whose credential is in use; -1 where there is none
	// wanted is the credential in use with the roots and the CAs that belong to it now;
	// its key is read only once it is needed.
	wanted *issue.Credential
}

// look reads every place of a target once and says what is there.
func (p *pass) look(ctx context.Context, t *Target, out ca.Outlook) *View {
	v := newView(t)
	for i, place := range t.Places {
		v.seen[i] = p.read(ctx, t, place, out)
	}
	p.sum(ctx, t, out, v)
	return v
}

func newView(t *Target) *View {
	return &View{lead: -1, seen: make([]seen, len(t.Places)), Places: make([]string, len(t.Places))}
}

// sum says what was seen of a target's places, all together.
func (p *pass) sum(ctx context.Context, t *Target, out ca.Outlook, v *View) {
	v.choose(t)
	v.former = v.formerly(t)
	if v.lead < 0 {
		v.nothing(t)
		return
	}
	lead := v.seen[v.lead]
	v.Leaf = lead.chain[0]
	v.wanted = &issue.Credential{Chain: lead.chain, Roots: out.Roots}
	v.State.NotBefore, v.State.NotAfter = v.Leaf.NotBefore, v.Leaf.NotAfter
	v.State.IssuerUntil = out.Until
	v.State.Revoked = revokedIn(p.revoked, v.wanted)
	if out.Renewal != nil {
		v.State.Suggested = out.Renewal(ctx, v.Leaf)
	}
	v.order(lead, t)
	v.issuer(lead, out)
	v.ends(out)
	for i, place := range t.Places {
		if !v.seen[i].unseen {
			v.drift(ctx, place, i)
		}
	}
	v.stale(t)
}

// read is the look at one place.
func (p *pass) read(ctx context.Context, t *Target, place Place, out ca.Outlook) (s seen) {
	k := place.Known
	if k == nil {
		k = Ask(ctx, place.Store)
	}
	s.set, s.version, s.audit, s.err = k.Set, k.Version, k.Audit, k.Err
	if s.err != nil && (s.version == "" || s.set.Facts == nil) {
		return s
	}
	if s.err != nil { // damaged, and ours all the same
		s.problem, s.err = s.err.Error(), nil
	}
	switch s.record = k.Record; {
	case k.Unread != nil:
		s.problem = k.Unread.Error()
	case s.record.Service != t.Record.Service || s.record.Namespace != t.Record.Namespace:
		s.other = s.record.Service + "." + s.record.Namespace
		return s
	}
	s.intact = s.set.Facts[issue.FactFiles] != "" && s.set.Facts[issue.FactFiles] == s.set.Files.Digest()
	if !place.keeps() {
		return s
	}
	if s.chain = p.parser.chain(place.Named, s.set.Files); s.chain == nil && s.problem == "" {
		s.problem = "no certificate can be read from its files"
		return s
	}
	if len(s.chain) > 0 && !s.intact && !t.Record.Foreign {
		// What was laid out as a pair and has not changed since is one.
		key, err := keyOf(place.Named, s.set)
		switch {
		case err != nil:
			s.mismatch = err.Error()
		case !pemfile.SamePublicKey(s.chain[0].PublicKey, key.Public()):
			s.mismatch = "the key is not the certificate's"
		case !signed(s.chain, out):
			s.mismatch = "a certificate is not what its issuer signed"
		}
	}
	return s
}

// signed tells whether each certificate of a chain is what the next one signed, or
// the root over the last: files that were changed may still be read as a pair.
func signed(chain []*x509.Certificate, out ca.Outlook) bool {
	for i, c := range chain {
		above := out.RootOf(chain)
		if i+1 < len(chain) {
			above = chain[i+1]
		}
		if above != nil && !above.Equal(c) && c.CheckSignatureFrom(above) != nil {
			return false
		}
	}
	return true
}

// keyOf reads the private key of a set: by the layouts that are wanted, else by any
// file that has one, for the order may have changed.
func keyOf(named []layout.Named, set issue.Set) (crypto.Signer, error) {
	for _, l := range named {
		if key, err := l.Key(set.Files); err == nil {
			return key, nil
		}
	}
	failed := errors.New("the private key is missing")
	for i, name := range secretNames(set) {
		key, err := pemfile.ParseKey(set.Files[name].Data, nil)
		if err == nil {
			return key, nil
		}
		if i == 0 {
			failed = fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil, failed
}

// choose takes the newest whole credential for the one in use: after a delivery that
// reached some places only, or a backup restored in one of them, they differ.
func (v *View) choose(t *Target) {
	for i := range v.seen {
		s := &v.seen[i]
		if len(s.chain) == 0 || s.mismatch != "" || s.other != "" || !t.Places[i].keeps() {
			continue
		}
		if v.lead < 0 || s.chain[0].NotBefore.After(v.seen[v.lead].chain[0].NotBefore) {
			v.lead = i
		}
	}
}

// away says that what is in use cannot be known now, for a place does not answer: no
// reason to have another certificate made.
func (v *View) away(t *Target) error {
	if v.lead >= 0 {
		return nil
	}
	for i, s := range v.seen {
		if t.Places[i].keeps() && errors.Is(s.err, ca.ErrAway) {
			return &issue.PlaceError{Place: t.Places[i].Store.String(), Err: s.err}
		}
	}
	return nil
}

// nothing says what there is where no credential can be used.
func (v *View) nothing(t *Target) {
	v.State.Missing = true
	for i, s := range v.seen {
		place := t.Places[i].Store.String()
		switch {
		case !t.Places[i].keeps():
			continue
		case s.err != nil && !errors.Is(s.err, fs.ErrNotExist):
			v.State.Missing, v.State.Unreadable = false, place+": "+s.err.Error()
			v.Places[i] = s.err.Error()
		case s.other != "":
			v.Places[i] = "it holds the certificate of " + s.other
		case s.mismatch != "":
			v.State.Missing, v.State.Mismatch = false, place+": "+s.mismatch
			v.Places[i] = s.mismatch
		case s.problem != "":
			v.State.Missing, v.State.Unreadable = false, place+": "+s.problem
			v.Places[i] = s.problem
		default:
			v.Places[i] = "nothing is there yet"
		}
		if v.Leaf == nil && len(s.chain) > 0 && s.other == "" {
			v.Leaf = s.chain[0]
			v.State.NotBefore, v.State.NotAfter = v.Leaf.NotBefore, v.Leaf.NotAfter
		}
	}
}

// order holds what was ordered against what is wanted. Other places want the same
// certificate, and another moment of renewal wants no new one.
func (v *View) order(lead seen, t *Target) {
	changed, moved := orderedOtherwise(lead.record, t.Record)
	if moved {
		v.State.Layout = "its places have changed"
	}
	if len(changed) > 0 {
		v.State.Changed = "the order has changed in: " + strings.Join(changed, ", ")
	}
}

// orderedOtherwise names the parts for which another certificate is wanted, and
// tells whether other places are.
func orderedOtherwise(was, is issue.Record) (changed []string, moved bool) {
	for _, part := range was.Changes(is) {
		switch part {
		case "renewAt":
		case "outputs":
			moved = true
		default:
			changed = append(changed, part)
		}
	}
	return changed, moved
}

// issuer holds the chain in use against what the authority serves now.
func (v *View) issuer(lead seen, out ca.Outlook) {
	if len(out.Roots) == 0 {
		return
	}
	if out.Above != nil {
		if above := out.Above(v.Leaf); above != nil {
			v.wanted.Chain = append([]*x509.Certificate{v.Leaf}, above...)
		}
	}
	if out.RootOf(v.wanted.Chain) == nil {
		v.State.Issuer = "no root that is trusted now leads to it"
		return
	}
	switch {
	case !slices.EqualFunc(v.wanted.Chain, lead.chain, func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }):
		v.State.Roots = "the CAs above it have changed"
	case lead.set.Facts[issue.FactRoots] != issue.RootsDigest(out.Roots):
		v.State.Roots = "the roots to be trusted have changed"
	}
}

// ends finds the earliest end above the leaf: nothing is trusted beyond it.
func (v *View) ends(out ca.Outlook) {
	chain := slices.Clone(v.wanted.Chain)
	if root := out.RootOf(chain); root != nil {
		chain = append(chain, root)
	}
	v.State.ChainEnds = ChainEnds(chain)
}

// drift says in what one place differs from what it should keep.
func (v *View) drift(ctx context.Context, p Place, i int) {
	s := &v.seen[i]
	found := ""
	switch {
	case s.err != nil && errors.Is(s.err, fs.ErrNotExist):
		found = "nothing is there"
	case s.err != nil:
		found = s.err.Error()
	case s.other != "":
		found = "it holds the certificate of " + s.other
	case s.mismatch != "":
		found = s.mismatch
	case s.problem != "":
		found = s.problem
	case p.keeps() && !s.chain[0].Equal(v.Leaf):
		found = "it has an older certificate"
	case p.keeps() && v.changed(p, s):
		found = "its files are not what was laid out"
	}
	if found != "" {
		v.Places[i] = found
		v.State.Layout = appendClause(v.State.Layout, p.Store.String()+": "+found)
		return
	}
	if s.audit != nil && p.keeps() {
		wrong, err := s.audit(ctx, p.SetOf(s.set.Files, nil, false))
		if err != nil {
			wrong = []string{err.Error()}
		}
		if len(wrong) > 0 {
			v.Places[i] = strings.Join(wrong, "; ")
			v.State.Attributes = appendClause(v.State.Attributes, p.Store.String()+": "+v.Places[i])
		}
	}
}

// changed tells whether the files are other than the layouts make, for another
// reason than changed roots or CAs, which have a name of their own.
func (v *View) changed(p Place, s *seen) bool {
	if s.intact && sameNames(p.Named, s.set.Files) {
		return false
	}
	key, err := keyOf(p.Named, s.set)
	if err != nil {
		key = nil
	}
	want, err := issue.LayOut(&issue.Credential{Key: key, Chain: s.chain, Roots: v.wanted.Roots}, p.Layouts)
	return err != nil || want.Digest() != s.set.Files.Digest() && !rootsOnly(p.Named, s.set.Files, want)
}

// sameNames tells whether a set has the files of the layouts and no others.
func sameNames(named []layout.Named, files issue.Files) bool {
	n := 0
	for name := range files {
		if !slices.ContainsFunc(named, func(l layout.Named) bool { return slices.Contains(l.Files, name) }) {
			return false
		}
		n++
	}
	for _, l := range named {
		if !slices.ContainsFunc(l.Files, func(f string) bool { _, ok := files[f]; return ok }) {
			return false
		}
	}
	return n > 0
}

func appendClause(s, clause string) string {
	if s == "" {
		return clause
	}
	return s + "; " + clause
}

// credential is what is in use, with its key, to be laid out again.
func (v *View) credential(t *Target) (*issue.Credential, error) {
	c := *v.wanted
	if len(c.Roots) == 0 {
		return nil, errors.New("the authority's roots are not known")
	}
	if t.Record.Foreign {
		return &c, nil
	}
	var err error
	if c.Key, err = keyOf(t.Places[v.lead].Named, v.seen[v.lead].set); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Places[v.lead].Store, err)
	}
	return &c, nil
}

// delivered is when the credential in use was laid out; zero where that is not known.
func (v *View) delivered() time.Time {
	if v.lead < 0 {
		return time.Time{}
	}
	// What cannot be read is as good as unknown.
	at, _ := time.Parse(time.RFC3339, v.seen[v.lead].set.Facts[issue.FactDelivered])
	return at
}
