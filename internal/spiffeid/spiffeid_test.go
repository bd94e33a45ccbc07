package spiffeid

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// long is a text of n times c.
func long(c string, n int) string { return strings.Repeat(c, n) }

const (
	domain  = "spiffe://cluster.local"
	longest = len("spiffe:///") + 255 // an ID up to the '/' behind the longest trust domain
)

var parseCases = []struct {
	in   string
	want error // nil: accepted
}{
	{domain, nil},
	{domain + "/ns/prod/sa/payment", nil},
	{domain + "/a", nil},
	{domain + "/A-Z_a.z0", nil},
	{domain + "/...", nil},
	{domain + "/..a", nil},
	{domain + "/.a", nil},
	{domain + "/a.", nil},
	{"spiffe://10.0.0.5/a", nil},
	{"spiffe://a_b/a", nil},
	{"spiffe://-/a", nil},
	{"spiffe://.../a", nil},
	{"spiffe://0/0", nil},
	{"spiffe://" + long("t", 255), nil},
	{"spiffe://" + long("t", 255) + "/" + long("p", 2048-longest), nil},
	{domain + "/" + long("p", 2048-len(domain)-1), nil},

	{"spiffe://" + long("t", 256), ErrTrustDomain},
	{"spiffe://" + long("t", 256) + "/a", ErrTrustDomain},
	{"spiffe://" + long("t", 255) + "/" + long("p", 2049-longest), ErrTooLong},
	{domain + "/" + long("p", 2049-len(domain)-1), ErrTooLong},
	{long("x", 1<<20), ErrTooLong},

	{"", ErrScheme},
	{"s", ErrScheme},
	{"spiffe", ErrScheme},
	{"spiffe:", ErrScheme},
	{"spiffe:/", ErrScheme},
	{"spiffe:cluster.local/a", ErrScheme},
	{"spiffe:/cluster.local/a", ErrScheme},
	{"cluster.local/a", ErrScheme},
	{"//cluster.local/a", ErrScheme},
	{"SPIFFE://cluster.local/a", ErrScheme},
	{"Spiffe://cluster.local/a", ErrScheme},
	{"https://cluster.local/a", ErrScheme},
	{" spiffe://cluster.local/a", ErrScheme},
	{"\x00spiffe://cluster.local/a", ErrScheme},
	{"spiffe%3A//cluster.local/a", ErrScheme},

	{"spiffe://", ErrTrustDomain},
	{"spiffe:///", ErrTrustDomain},
	{"spiffe:///x", ErrTrustDomain},
	{"spiffe://Cluster.local/a", ErrTrustDomain},
	{"spiffe://CLUSTER.LOCAL/a", ErrTrustDomain},
	{"spiffe://cluster.local:8443/a", ErrTrustDomain},
	{"spiffe://cluster.local:/a", ErrTrustDomain},
	{"spiffe://user@cluster.local/a", ErrTrustDomain},
	{"spiffe://user:secret@cluster.local/a", ErrTrustDomain},
	{"spiffe://@cluster.local/a", ErrTrustDomain},
	{"spiffe://[::1]/a", ErrTrustDomain},
	{"spiffe://cluster%2elocal/a", ErrTrustDomain},
	{"spiffe://%63luster.local/a", ErrTrustDomain},
	{"spiffe://clüster.local/a", ErrTrustDomain},
	{"spiffe://cluster.local\u202e/a", ErrTrustDomain},
	{"spiffe://cluster local/a", ErrTrustDomain},
	{"spiffe://cluster.local\n/a", ErrTrustDomain},
	{"spiffe://cluster.local\x00/a", ErrTrustDomain},
	{"spiffe://*.local/a", ErrTrustDomain},
	{"spiffe://cluster.local?a", ErrTrustDomain},
	{"spiffe://cluster.local#a", ErrTrustDomain},
	{`spiffe://cluster.local\a`, ErrTrustDomain},
	{"spiffe://~/a", ErrTrustDomain},

	{domain + "/", ErrPath},
	{domain + "//", ErrPath},
	{domain + "//a", ErrPath},
	{domain + "/a/", ErrPath},
	{domain + "/a//b", ErrPath},
	{domain + "/.", ErrPath},
	{domain + "/..", ErrPath},
	{domain + "/./a", ErrPath},
	{domain + "/../a", ErrPath},
	{domain + "/a/..", ErrPath},
	{domain + "/a/../b", ErrPath},
	{domain + "/a?b", ErrPath},
	{domain + "/a?", ErrPath},
	{domain + "/a#b", ErrPath},
	{domain + "/a#", ErrPath},
	{domain + "/%61", ErrPath},
	{domain + "/a%2fb", ErrPath},
	{domain + "/%2e%2e/a", ErrPath},
	{domain + "/a b", ErrPath},
	{domain + "/a+b", ErrPath},
	{domain + "/a:b", ErrPath},
	{domain + "/a@b", ErrPath},
	{domain + "/a~b", ErrPath},
	{domain + "/a*", ErrPath},
	{domain + `/a\b`, ErrPath},
	{domain + "/ä", ErrPath},
	{domain + "/a\n", ErrPath},
	{domain + "/a\x00", ErrPath},
	{domain + "/a\xff", ErrPath},
}

func TestParse(t *testing.T) {
	for _, c := range parseCases {
		id, err := Parse(c.in)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("Parse(%.100q) = %v; want %v", c.in, err, c.want)
			continue
		}
		if err == nil && id.String() != c.in {
			t.Errorf("Parse(%.100q) reads as %q", c.in, id)
		}
		if err != nil && (!id.IsZero() || id.String() != "" || len(err.Error()) > 1000) {
			t.Errorf("Parse(%.100q) gives %q beside an error of %d bytes", c.in, id, len(err.Error()))
		}
	}
}

func TestParts(t *testing.T) {
	id, err := Parse("spiffe://cluster.local/ns/prod/sa/payment")
	if err != nil {
		t.Fatal(err)
	}
	td, err := ParseTrustDomain("cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	if id.TrustDomain() != td || id.Path() != "/ns/prod/sa/payment" || id.IsZero() {
		t.Errorf("parts of %s: %s and %s", id, id.TrustDomain(), id.Path())
	}
	made, err := td.Workload("prod", "payment")
	if err != nil || made != id {
		t.Errorf("Workload gives %q, %v; want %q", made, err, id)
	}
	if got := td.ID(); got.String() != "spiffe://cluster.local" || got.Path() != "" || got.TrustDomain() != td {
		t.Errorf("the trust domain's own ID is %q", got)
	}
	if u := id.URL(); u.String() != id.String() || u.Host != "cluster.local" || u.Path != id.Path() {
		t.Errorf("URL gives %q", u)
	}
	var none ID
	if !none.IsZero() || none.String() != "" || !none.TrustDomain().IsZero() || (TrustDomain{}).ID() != none {
		t.Error("the zero values are no ID and no trust domain")
	}
}

func TestParseTrustDomain(t *testing.T) {
	for in, want := range map[string]string{
		"cluster.local":          "cluster.local",
		"spiffe://cluster.local": "cluster.local",
		"a":                      "a",
		"my_mesh-1.example":      "my_mesh-1.example",
		long("t", 255):           long("t", 255),
	} {
		td, err := ParseTrustDomain(in)
		if err != nil || td.String() != want || td.IsZero() {
			t.Errorf("ParseTrustDomain(%q) = %q, %v", in, td, err)
		}
	}
	for _, in := range []string{
		"", "spiffe://", "spiffe:///", "spiffe://cluster.local/", "spiffe://cluster.local/a", "cluster.local/",
		"Cluster.local", "SPIFFE://cluster.local", "https://cluster.local", "cluster.local:8443", "u@cluster.local",
		"spiffe://spiffe://a", "cluster local", "cluster.local\n", "a\x00", "a%2eb", "*.local", "clüster", "[::1]", "::1",
		long("t", 256), long("ü", 200),
	} {
		td, err := ParseTrustDomain(in)
		if !errors.Is(err, ErrTrustDomain) || !td.IsZero() {
			t.Errorf("ParseTrustDomain(%.60q) = %q, %v; want ErrTrustDomain", in, td, err)
		}
	}
}

// TestWithPath: what is joined on stays behind the trust domain, and stays what
// it was given as.
func TestWithPath(t *testing.T) {
	td, err := ParseTrustDomain("cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"a", ".evil", "evil/a", "@evil/a", ":80/a", "/", "//a", "/a/../b", "/a b", "?a", "#a"} {
		if id, err := td.WithPath(path); err == nil {
			t.Errorf("WithPath(%q) = %q", path, id)
		}
	}
	if id, err := td.WithPath(""); err != nil || id != td.ID() {
		t.Errorf(`WithPath("") = %q, %v`, id, err)
	}
	for _, path := range []string{"", "/a", "a", "evil/a"} {
		if id, err := (TrustDomain{}).WithPath(path); err == nil {
			t.Errorf("no trust domain with path %q is %q", path, id)
		}
	}
	for _, c := range [][2]string{
		{"", "payment"}, {"prod", ""}, {"..", "payment"}, {"prod", "."}, {"prod/sa/admin", "payment"},
		{"prod", "admin/sa/payment"}, {"prod", "a b"}, {"prod", "a%2fb"}, {"prod", "pay\nment"}, {"", ""}, {"/", "/"},
	} {
		if id, err := td.Workload(c[0], c[1]); !errors.Is(err, ErrPath) {
			t.Errorf("Workload(%q, %q) = %q, %v; want ErrPath", c[0], c[1], id, err)
		}
	}
}

func TestIsAddress(t *testing.T) {
	for name, want := range map[string]bool{
		"10.0.0.5": true, "255.255.255.255": true, "cluster.local": false, "10.0.0": false, "10.0.0.5.example": false, "256.0.0.1": false,
	} {
		td, err := ParseTrustDomain(name)
		if err != nil || td.IsAddress() != want {
			t.Errorf("IsAddress of %q is %v, %v; want %v", name, td.IsAddress(), err, want)
		}
	}
}

// legal is the whole syntax of the standard in one expression, lengths and the
// segments "." and ".." apart.
var legal = regexp.MustCompile(`\Aspiffe://[a-z0-9._-]{1,255}(/[a-zA-Z0-9._-]+)*\z`)

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "spiffe://cluster.local", "spiffe://cluster.local/ns/prod/sa/payment", "spiffe:///x", "SPIFFE://a/b",
		"spiffe://a/", "spiffe://a/../b", "spiffe://a:1/b", "spiffe://u@a/b", "spiffe://a/%2e", "spiffe://a/b?c#d",
		"spiffe://" + long("t", 255) + "/" + long("p", 1783), "spiffe://10.0.0.5/a\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		dots := regexp.MustCompile(`/\.\.?(/|\z)`).MatchString(strings.TrimPrefix(s, "spiffe://"))
		if want := len(s) <= 2048 && legal.MatchString(s) && !dots; want != (err == nil) {
			t.Fatalf("Parse(%q) = %v; by the standard %v", s, err, want)
		}
		if err != nil {
			return
		}
		if again, err := Parse(id.String()); err != nil || again != id || id.String() != s {
			t.Fatalf("%q reads as %q, and that as %q, %v", s, id, again, err)
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != Scheme || u.Host != id.TrustDomain().String() || u.Path != id.Path() ||
			u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.String() != id.URL().String() {
			t.Fatalf("as a URL %q has other parts: %+v, %v", s, u, err)
		}
		if again, err := id.TrustDomain().WithPath(id.Path()); err != nil || again != id {
			t.Fatalf("put together again it is %q, %v", again, err)
		}
	})
}
