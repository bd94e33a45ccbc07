package issue_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/issue"
)

func credential(t testing.TB) *issue.Credential {
	t.Helper()
	c, err := issue.Obtain(t.Context(), newAuthority(t, memory.AuthorityOptions{}), order(t), start)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shape is a layout that writes each certificate's serial number into one file,
// and can be told to fail.
type shape struct {
	file           string
	text           string // instead of the serial numbers
	secret         bool
	encode, decode error
	back           func(chain []*x509.Certificate) []*x509.Certificate
	of             *issue.Credential
}

func (s *shape) Encode(c *issue.Credential) (issue.Files, error) {
	s.of = c
	text := s.text
	if text == "" {
		text = fmt.Sprint(c.Leaf().SerialNumber)
	}
	return issue.Files{s.file: {Data: []byte(text), Secret: s.secret}}, s.encode
}

func (s *shape) Decode(issue.Files) ([]*x509.Certificate, error) {
	chain := s.of.Chain
	if s.back != nil {
		chain = s.back(slices.Clone(chain))
	}
	return chain, s.decode
}

// closed is a place that lets nothing be read, written or prepared, as told.
type closed struct {
	*memory.Store
	load, save, prepare error
	prepared            []string
}

func (c *closed) Load(ctx context.Context) (issue.Set, issue.Version, error) {
	if c.load != nil {
		return issue.Set{}, "", c.load
	}
	return c.Store.Load(ctx)
}

func (c *closed) Save(ctx context.Context, s issue.Set, was issue.Version) (issue.Version, error) {
	if c.save != nil {
		return "", c.save
	}
	return c.Store.Save(ctx, s, was)
}

func (c *closed) Prepare(_ context.Context, s issue.Set) error {
	c.prepared = append(c.prepared, fmt.Sprintf("%v %s %t", s.Files.Names(), s.Owner, s.Replace))
	return c.prepare
}

func output(s issue.Store, layouts ...issue.Layout) issue.Output {
	return issue.Output{Store: s, Layouts: layouts}
}

func TestDeliver(t *testing.T) {
	c := credential(t)
	first, second := memory.NewStore("first"), memory.NewStore("second")
	if _, err := second.Save(t.Context(), issue.Set{Facts: map[string]string{"old": "set"}}, ""); err != nil {
		t.Fatal(err)
	}
	both := output(first, &shape{file: "a"}, &shape{file: "b", secret: true})
	both.Owner, both.Group, both.Mode = "payment", "mesh", 0o640
	outputs := []issue.Output{both, output(second, &shape{file: "c"})}
	versions, err := issue.Prepare(t.Context(), outputs, []string{"a", "b"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(versions) != 2 || versions[0] != "" || versions[1] == "" {
		t.Errorf("versions %q", versions)
	}
	facts := map[string]string{"due": "soon"}
	if err := issue.Deliver(t.Context(), c, outputs, versions, facts, true); err != nil {
		t.Fatal(err)
	}
	set, _, err := first.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if names := set.Files.Names(); !slices.Equal(names, []string{"a", "b"}) || set.Files["a"].Secret || !set.Files["b"].Secret {
		t.Errorf("files %v", set.Files)
	}
	if set.Owner != "payment" || set.Group != "mesh" || set.Mode != 0o640 || !set.Replace || set.Facts["due"] != "soon" {
		t.Errorf("saved %+v", set)
	}
	if set, _, err := second.Load(t.Context()); err != nil || !slices.Equal(set.Files.Names(), []string{"c"}) || set.Facts["due"] != "soon" {
		t.Errorf("saved %+v, %v", set, err)
	}
}

// A place that fails keeps no other from its turn, before it or after it, and
// each that fails is named with what it said.
func TestDeliverToFailingPlaces(t *testing.T) {
	c := credential(t)
	full, denied := errors.New("no room"), fmt.Errorf("token expired: %w", fs.ErrPermission)
	good := []*memory.Store{memory.NewStore("one"), memory.NewStore("three"), memory.NewStore("five")}
	changed := memory.NewStore("six")
	outputs := []issue.Output{
		output(good[0], &shape{file: "x"}),
		output(&closed{Store: memory.NewStore("two"), save: full}, &shape{file: "x"}),
		output(good[1], &shape{file: "x"}),
		output(&closed{Store: memory.NewStore("four"), save: denied}, &shape{file: "x"}),
		output(good[2], &shape{file: "x"}),
		output(changed, &shape{file: "x"}),
	}
	versions, err := issue.Prepare(t.Context(), outputs, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := changed.Save(t.Context(), issue.Set{}, ""); err != nil { // by somebody else meanwhile
		t.Fatal(err)
	}
	err = issue.Deliver(t.Context(), c, outputs, versions, nil, false)
	for _, want := range []error{full, fs.ErrPermission, issue.ErrChanged} {
		if !errors.Is(err, want) {
			t.Errorf("error %v does not say %v", err, want)
		}
	}
	if err == nil || err.Error() != "two: no room\nfour: token expired: permission denied\nsix: changed by another since it was read" {
		t.Errorf("error %q", err)
	}
	for _, s := range good {
		if set, _, err := s.Load(t.Context()); err != nil || len(set.Files) != 1 {
			t.Errorf("place %s holds %v, %v", s, set.Files.Names(), err)
		}
	}
}

// A consumer that would not load the credential is found before any place is written.
func TestDeliverInAFailingLayout(t *testing.T) {
	s := memory.NewStore("one")
	refusal := errors.New("it takes no EC keys")
	outputs := []issue.Output{output(s, &shape{file: "a"}), output(memory.NewStore("two"), &shape{file: "a", encode: refusal})}
	err := issue.Deliver(t.Context(), credential(t), outputs, make([]issue.Version, 2), nil, false)
	if !errors.Is(err, refusal) || !strings.Contains(err.Error(), "two") {
		t.Errorf("error %v", err)
	}
	if _, _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the other place was written: %v", err)
	}
}

func TestPrepare(t *testing.T) {
	foreign := fmt.Errorf("tls.key stands there and was %w", issue.ErrForeign)
	for name, test := range map[string]struct {
		store *closed
		want  error
	}{
		"nothing against it":       {&closed{}, nil},
		"it cannot be read":        {&closed{load: fs.ErrPermission}, fs.ErrPermission},
		"somebody else's is there": {&closed{prepare: foreign}, issue.ErrForeign},
	} {
		test.store.Store = memory.NewStore("the place")
		o := output(test.store)
		o.Owner = "payment"
		_, err := issue.Prepare(t.Context(), []issue.Output{o}, []string{"tls.key", "tls.crt"}, true)
		if !errors.Is(err, test.want) || err != nil && !strings.HasPrefix(err.Error(), "the place: ") {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
		if test.store.load == nil && (len(test.store.prepared) != 1 || test.store.prepared[0] != "[tls.crt tls.key] payment true") {
			t.Errorf("%s: prepared for %q", name, test.store.prepared)
		}
	}
}

func TestLayOut(t *testing.T) {
	c := credential(t)
	broken := errors.New("nothing to be read")
	for name, test := range map[string]struct {
		layouts []issue.Layout
		files   string
		fails   string
	}{
		"none":                     {nil, "[]", ""},
		"two":                      {[]issue.Layout{&shape{file: "b"}, &shape{file: "a"}}, "[a b]", ""},
		"a file of the same bytes": {[]issue.Layout{&shape{file: "a", text: "x"}, &shape{file: "a", text: "x"}}, "[a]", ""},
		"a file of other bytes":    {[]issue.Layout{&shape{file: "a", text: "x"}, &shape{file: "b"}, &shape{file: "a", text: "y"}}, "", "two layouts make a file a"},
		"secret in one of them":    {[]issue.Layout{&shape{file: "a", text: "x", secret: true}, &shape{file: "a", text: "x"}}, "", "two layouts make a file a"},
		"it cannot be read back":   {[]issue.Layout{&shape{file: "a", decode: broken}}, "", "nothing to be read"},
		"nothing comes back": {[]issue.Layout{&shape{file: "a", back: func([]*x509.Certificate) []*x509.Certificate { return nil }}},
			"", "another chain"},
		"only the leaf comes back": {[]issue.Layout{&shape{file: "a", back: func(c []*x509.Certificate) []*x509.Certificate { return c[:1] }}},
			"", "another chain"},
		"it comes back turned round": {[]issue.Layout{&shape{file: "a", back: func(c []*x509.Certificate) []*x509.Certificate { slices.Reverse(c); return c }}},
			"", "another chain"},
		"it comes back twice": {[]issue.Layout{&shape{file: "a", back: func(c []*x509.Certificate) []*x509.Certificate { return append(c, c...) }}},
			"", "another chain"},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := issue.LayOut(c, test.layouts)
			switch {
			case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
				t.Errorf("error %v, want one with %q", err, test.fails)
			case test.fails == "" && (err != nil || fmt.Sprint(files.Names()) != test.files):
				t.Errorf("files %v, %v; want %s", files.Names(), err, test.files)
			}
		})
	}
}
