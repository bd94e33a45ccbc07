package renew

import (
	"context"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// Target is one service under care: what is ordered for it, where that is kept and
// who is told. But for what is known of its places it does not change once made.
type Target struct {
	// Name is what people call it: payment.prod.
	Name string
	// Record is the order: as the manifest has it or, without one, as it was given.
	Record issue.Record
	// Profile is the one that the record names; zero where that is a built-in one.
	Profile ca.Profile
	// Places are all places of its files. One without layouts keeps the order alone.
	Places []Place
	Policy Policy
	// Steps are done once the files are new; Confirm, if not nil, sees that they are served.
	Steps   []Step
	Confirm *Confirm
	// ReuseKey has the key in use certified again, instead of a new one.
	ReuseKey bool
	// Backend is the reference of the authority.
	Backend string
	// Listed says that a manifest names it; else it was issued without one.
	Listed bool
	// From is issue.FromManifest where a manifest names it, or did; it is kept with the files.
	From string

	glance *glance   // the first look of the pass, for the second
	again  Candidate // that made it; nil until it is a pass's own
}

// Place is one place of a target, with the names of its layouts.
type Place struct {
	issue.Output
	Named []layout.Named
	// To is the place in its one spelling, as the order has it.
	To string
	// Known, if not nil, is what the place has just answered: the first look at the
	// target takes it, and looks no second time.
	Known *Known
}

// Known is the answer of a place: see issue.Looker.
type Known struct {
	Set     issue.Set
	Version issue.Version
	Audit   func(ctx context.Context, want issue.Set) ([]string, error)
	Err     error
	// Record is the order that is kept with the set; it is read once, here.
	Record issue.Record
	// Profile is the one that the record names; zero where that is a built-in one.
	Profile ca.Profile
	Unread  error // why it is not: there is none, or it is damaged
}

// Ask looks at a place.
func Ask(ctx context.Context, s issue.Store) *Known {
	k := &Known{}
	if l, ok := s.(issue.Looker); ok {
		k.Set, k.Version, k.Audit, k.Err = l.Look(ctx)
	} else {
		k.Set, k.Version, k.Err = s.Load(ctx)
	}
	if a, ok := s.(issue.Auditor); ok && k.Audit == nil {
		k.Audit = a.Audit
	}
	k.Record, k.Unread = issue.RecordOf(k.Set.Facts)
	return k
}

// own is a copy for one pass, which keeps in it what it has seen: a candidate may give
// one target to several that overlap.
func (t *Target) own(c Candidate) *Target {
	mine := *t
	mine.Places, mine.again = slices.Clone(t.Places), c
	return &mine
}

// forget drops what was known of the places beforehand.
func (t *Target) forget() {
	for i := range t.Places {
		t.Places[i].Known = nil
	}
}

// keeps tells whether files go there, and not the order alone.
func (p Place) keeps() bool { return len(p.Layouts) > 0 }

// Candidate makes a target when its turn has come: of many, few are in memory at once.
type Candidate func(ctx context.Context) (*Target, error)

// key is the name under which the target's journal is kept. Neither namespace nor
// service has a dot in it.
func (t *Target) key() string { return t.Record.Namespace + "." + t.Record.Service }

// secretNames are the files of a place's layouts that may hold the key.
func secretNames(set issue.Set) []string {
	var names []string
	for _, name := range set.Files.Names() {
		if set.Files[name].Secret {
			names = append(names, name)
		}
	}
	return names
}

// rootsOnly tells whether only files of roots differ between two sets of files.
func rootsOnly(named []layout.Named, have, want issue.Files) bool {
	roots := map[string]bool{}
	for _, l := range named {
		roots[l.Roots] = true
	}
	if !slices.Equal(have.Names(), want.Names()) {
		return false
	}
	for name, file := range want {
		if !roots[name] && string(file.Data) != string(have[name].Data) {
			return false
		}
	}
	return true
}

// revokedIn names what of a credential has been revoked; "" where nothing is.
func revokedIn(r ca.Revoked, c *issue.Credential) string {
	for i, cert := range c.Chain {
		if _, ok := r.Certificate(cert); ok {
			if i == 0 {
				return "it"
			}
			return "its issuer " + orUnnamed(cert.Subject.CommonName)
		}
	}
	if r.Len() == 0 {
		return ""
	}
	if _, ok := r.Key(ca.KeyFingerprint(c.Leaf().RawSubjectPublicKeyInfo)); ok {
		return "its key"
	}
	return ""
}

func orUnnamed(s string) string {
	if strings.TrimSpace(s) == "" {
		return "without a name"
	}
	return s
}
