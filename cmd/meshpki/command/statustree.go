package command

import (
	"bytes"
	"crypto/x509"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// statusOf is what is said of one target.
func statusOf(res renew.Result, now time.Time) ui.StatusService {
	s := ui.StatusService{
		RenewedService: renewalOf(res), Level: string(res.Concern(now)), Unread: res.Blind(),
		Ends: res.Decision.Ends.UTC(), Due: res.Decision.At.UTC(), Opens: res.Decision.Opens.UTC(), HeldBy: res.Decision.HeldBy,
	}
	for _, t := range []*time.Time{&s.Ends, &s.Due, &s.Opens} {
		if t.IsZero() {
			*t = time.Time{}
		}
	}
	if res.Target != nil {
		s.Backend, s.Listed = res.Target.Backend, res.Target.Listed
	}
	if res.Leaf != nil {
		s.NotBefore, s.Issuer = res.Leaf.NotBefore.UTC(), res.Leaf.Issuer.CommonName
		if s.Ends.IsZero() { // nobody could decide on it, and it has an end all the same
			s.Ends = res.Leaf.NotAfter.UTC()
		}
	}
	return s
}

// tree is the authorities of the directory, with what hangs on each.
type tree struct {
	dir      *file.Directory
	dirFlag  string
	all      []file.Authority
	issuing  string
	parent   []int // of each, -1 where it is not here
	services []int
	longest  []time.Duration
	signs    []bool
	byKey    map[string]int // by name and key identifier, as a leaf names its issuer
}

func (k *care) tree() (*tree, error) {
	all, err := k.dir.Authorities()
	if err != nil {
		return nil, err
	}
	t := &tree{dir: k.dir, dirFlag: k.c.dirFlag(), all: all, issuing: k.dir.Settings().Issuing, byKey: map[string]int{}, parent: make([]int, len(all)), services: make([]int, len(all)),
		longest: make([]time.Duration, len(all)), signs: make([]bool, len(all))}
	for i, a := range all {
		t.byKey[issuerKey(a.Certificate.RawSubject, a.Certificate.SubjectKeyId)] = i
		t.parent[i] = -1
		if len(a.Above) == 0 {
			continue
		}
		for j, p := range all {
			if bytes.Equal(p.Certificate.Raw, a.Above[0].Raw) {
				t.parent[i] = j
			}
		}
	}
	t.sign("local")
	return t, nil
}

func issuerKey(name, id []byte) string { return string(name) + "\x00" + string(id) }

// sign notes that an authority, and so those above it, are to give services their
// certificates.
func (t *tree) sign(backend string) {
	name, isLocal := strings.CutPrefix(backend, "local")
	if !isLocal {
		return
	}
	if name = strings.TrimPrefix(name, ":"); name == "" {
		name = t.issuing
	}
	for i, a := range t.all {
		if a.Name == name {
			t.climb(i, func(i int) { t.signs[i] = true })
			return
		}
	}
}

// climb calls f for an authority and for each above it.
func (t *tree) climb(i int, f func(int)) {
	for n := 0; i >= 0 && n <= len(t.all); n++ {
		f(i)
		i = t.parent[i]
	}
}

// hang takes a service up under the authority that signed its certificate.
func (t *tree) hang(res renew.Result, s *ui.StatusService) {
	t.sign(s.Backend)
	if res.Leaf == nil {
		return
	}
	i, ok := t.issuerOf(res.Leaf)
	if !ok {
		return
	}
	s.Authority = t.all[i].Name
	t.services[i]++
	life := res.Leaf.NotAfter.Sub(res.Leaf.NotBefore)
	t.climb(i, func(i int) { t.longest[i] = max(t.longest[i], life) })
}

func (t *tree) issuerOf(leaf *x509.Certificate) (int, bool) {
	i, ok := t.byKey[issuerKey(leaf.RawIssuer, leaf.AuthorityKeyId)]
	return i, ok
}

// authorities are all of them, the root first.
func (t *tree) authorities(now time.Time) []ui.StatusAuthority {
	var out []ui.StatusAuthority
	for i, a := range t.all {
		s := ui.StatusAuthority{
			Name: a.Name, CommonName: a.Certificate.Subject.CommonName, Role: "intermediate", Signs: t.signs[i], Services: t.services[i],
			NotBefore: a.Certificate.NotBefore.UTC(), NotAfter: a.Certificate.NotAfter.UTC(), Longest: int64(t.longest[i] / time.Second),
			Level: ui.LevelFine,
		}
		if a.Root() {
			s.Role = "root"
		}
		if t.parent[i] >= 0 {
			s.Parent = t.all[t.parent[i]].Name
		}
		// One that signs no more ends in peace.
		if s.Signs {
			s.Level = string(renew.AuthorityConcern(s.NotBefore, s.NotAfter, t.longest[i], now))
		}
		if s.Level != ui.LevelFine {
			s.Todo = remedy(a, t.dir, t.dirFlag)
		}
		out = append(out, s)
	}
	return out
}
