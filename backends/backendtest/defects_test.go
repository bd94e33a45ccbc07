package backendtest_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

var start = time.Date(2026, 11, 21, 21, 40, 0, 0, time.UTC)

func clock() time.Time { return start }

// loose is a store with the defects that are switched on.
type loose struct {
	ignoreVersion, dropFacts, dropSecret, merge, emptyIsNothing bool
	twoSteps, anyName, ignoreContext, alias, full               bool
	name                                                        string
	largest                                                     int

	mu      *sync.Mutex
	set     issue.Set
	version int
}

func (l *loose) String() string { return "loose" + l.name }

// lock is made late: a store is copied before it is used.
func (l *loose) lock() func() {
	if l.mu == nil {
		l.mu = &sync.Mutex{}
	}
	l.mu.Lock()
	return l.mu.Unlock
}

func (l *loose) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	if err := ctx.Err(); err != nil && !l.ignoreContext {
		return issue.Set{}, "", err
	}
	defer l.lock()()
	if l.version == 0 && !l.full || l.emptyIsNothing && len(l.set.Files) == 0 {
		return issue.Set{}, "", fs.ErrNotExist
	}
	return l.copied(l.set), issue.Version(strconv.Itoa(l.version)), nil
}

func (l *loose) copied(s issue.Set) issue.Set {
	if l.alias {
		return s
	}
	files := issue.Files{}
	for name, f := range s.Files {
		f.Data = slices.Clone(f.Data)
		if l.largest > 0 {
			f.Data = f.Data[:min(l.largest, len(f.Data))]
		}
		f.Secret = f.Secret && !l.dropSecret
		files[name] = f
	}
	s.Files, s.Facts = files, maps.Clone(s.Facts)
	if l.dropFacts {
		s.Facts = nil
	}
	return s
}

func (l *loose) Save(ctx context.Context, s issue.Set, was issue.Version) (issue.Version, error) {
	if err := ctx.Err(); err != nil && !l.ignoreContext {
		return "", err
	}
	for name := range s.Files {
		if !l.anyName && (name == "" || name == "." || len(name) > 255 || strings.HasPrefix(name, "..") || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00\n\x1b\u202e")) {
			return "", errors.New("that is no name")
		}
	}
	defer l.lock()()
	if now := issue.Version(strconv.Itoa(l.version)); !l.ignoreVersion && now != was && (l.version > 0 || was != "") {
		return "", issue.ErrChanged
	}
	s = l.copied(s)
	if l.merge {
		for name, f := range l.set.Files {
			if _, taken := s.Files[name]; !taken {
				s.Files[name] = f
			}
		}
	}
	if l.twoSteps && len(l.set.Files) > 1 {
		l.set.Facts = s.Facts
		l.mu.Unlock()
		time.Sleep(time.Millisecond)
		l.mu.Lock()
	}
	l.set = s
	l.version++
	return issue.Version(strconv.Itoa(l.version)), nil
}

// forgetful is a ledger with the defects that are switched on.
type forgetful struct {
	reverse, race, revokeAll, late, ignoreContext, dropNotes bool

	mu      *sync.Mutex
	entries []ca.Entry
}

func (f *forgetful) lock() func() {
	if f.mu == nil {
		f.mu = &sync.Mutex{}
	}
	f.mu.Lock()
	return f.mu.Unlock
}

func (f *forgetful) Record(ctx context.Context, e ca.Entry) error {
	if err := ctx.Err(); err != nil && !f.ignoreContext {
		return err
	}
	e.Certificate = slices.Clone(e.Certificate)
	if f.dropNotes {
		e.Note = ""
	}
	defer f.lock()()
	known := slices.Clone(f.entries)
	if f.race {
		f.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
		f.mu.Lock()
	}
	f.entries = append(known, e)
	return nil
}

func (f *forgetful) Entries(ctx context.Context) iter.Seq2[ca.Entry, error] {
	return func(yield func(ca.Entry, error) bool) {
		unlock := f.lock()
		entries := slices.Clone(f.entries)
		unlock()
		if f.reverse {
			slices.Reverse(entries)
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil && !f.ignoreContext {
				yield(ca.Entry{}, err)
				return
			}
			e.Certificate = slices.Clone(e.Certificate)
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (f *forgetful) Revoked(ctx context.Context) (ca.Revoked, error) {
	var r ca.Revoked
	if err := ctx.Err(); err != nil && !f.ignoreContext {
		return r, err
	}
	defer f.lock()()
	for i, e := range f.entries {
		if f.late && i > len(f.entries)-2 {
			break
		}
		if f.revokeAll {
			e.Kind = ca.KindRevocation
		}
		r.Add(e)
	}
	return r, nil
}

// liar is an authority with the defects that are switched on.
type liar struct {
	root, profile, wishes, noRefusal, uncut, revokeAgain, ignoreContext, same, noRoots, noJudge bool

	*memory.Remote
	last *ca.Chain
	mu   *sync.Mutex
}

func (l liar) fresh(t *testing.T) ca.Authority {
	t.Helper()
	issuer, err := memory.NewAuthority(t.Context(), memory.AuthorityOptions{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	l.Remote, l.last, l.mu = &memory.Remote{Issuer: issuer}, new(ca.Chain), &sync.Mutex{}
	return l
}

func (l liar) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	if l.ignoreContext {
		ctx = context.WithoutCancel(ctx)
	}
	req.Token, req.Resume = [32]byte{}, nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.same && len(*l.last) > 0 {
		return *l.last, nil
	}
	if l.uncut {
		req.Validity.UpTo = false
	}
	if l.profile {
		req.Profile, _ = ca.ProfileByName("client")
	}
	if csr, err := x509.ParseCertificateRequest(req.CSR); l.wishes && err == nil {
		req.Identity, _ = ca.NewIdentity(ca.Names{DNS: csr.DNSNames})
	}
	chain, err := l.Issuer.Issue(ctx, req)
	if err == nil && l.root {
		chain = append(chain, l.Issuer.Above...)
	}
	if _, refused := ca.IsRefusal(err); refused && l.noRefusal {
		err = errors.New("no")
	}
	*l.last = chain
	return chain, err
}

func (l liar) Roots(ctx context.Context) ([]*x509.Certificate, error) {
	if l.noRoots {
		return nil, nil
	}
	return l.Issuer.Roots(ctx)
}

func (l liar) Revoke(ctx context.Context, serial *big.Int, reason ca.Reason) error {
	if l.ignoreContext {
		ctx = context.WithoutCancel(ctx)
	}
	err := l.Issuer.Revoke(ctx, serial, reason)
	if l.revokeAgain && errors.Is(err, ca.ErrRevoked) {
		return nil
	}
	return err
}

func (l liar) Judge(n ca.Name) error {
	if l.noJudge {
		return nil
	}
	return l.Issuer.Judge(n)
}
