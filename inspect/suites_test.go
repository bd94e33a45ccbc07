package inspect_test

import (
	"bufio"
	"compress/gzip"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// The suites are cases that nobody of this project made. They lie beside the
// project, not in it; where the folder is missing there is nothing to run.
var suitesFolder = suitesBeside()

// suiteCase is one case as its line has it.
type suiteCase struct {
	ID     string   `json:"id"`
	Expect string   `json:"expect"`
	Soft   bool     `json:"soft"` // a policy of the suite's own, rather than the standard's
	Tags   []string `json:"tags"`
	Leaf   string   `json:"leaf"`
	Roots  []string `json:"roots"`
	Inters []string `json:"inters"`
	CRLs   []string `json:"crls"`
	Time   string   `json:"time"`
	Name   *struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	} `json:"name"`
	EKU    string `json:"eku"`
	Depth  *int   `json:"depth"`
	Policy *struct {
		Initial    []string `json:"initial"`
		Explicit   bool     `json:"explicit"`
		InhibitMap bool     `json:"inhibit_map"`
		InhibitAny bool     `json:"inhibit_any"`
	} `json:"policy"`
	CRLScope string `json:"crl_scope"`
	OCSP     string `json:"ocsp"`
	Issuer   string `json:"issuer"`
	SPIFFE   string `json:"spiffe"`
}

// suiteCases reads a suite; the test is skipped where the folder is not there.
func suiteCases(t testing.TB, name string) []suiteCase {
	t.Helper()
	file, err := os.Open(filepath.Join(suitesFolder, name+".jsonl.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the suites are not beside the project")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []suiteCase
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var c suiteCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil || len(cases) == 0 {
		t.Fatalf("%s: %d cases, %v", name, len(cases), err)
	}
	return cases
}

// derOf is what a PEM block holds.
func derOf(text string) []byte {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	return block.Bytes
}

// sound reads certificates as the command line does: what cannot be read among
// roots ends the question.
func sound(list []string) (certs []*x509.Certificate, whole bool) {
	whole = true
	for _, text := range list {
		c, err := inspect.ReadCertificate(derOf(text))
		if err != nil {
			whole = false
			continue
		}
		certs = append(certs, c)
	}
	return certs, whole
}

// accepts answers a case, and says why not.
func (c suiteCase) accepts(t testing.TB, strict bool) (bool, string) {
	t.Helper()
	roots, whole := sound(c.Roots)
	if !whole || len(roots) == 0 {
		return false, "the roots cannot be read"
	}
	between, _ := sound(c.Inters)
	o := inspect.Options{Roots: roots, Intermediates: between, EKU: c.EKU, Strict: strict, TrustDomain: c.SPIFFE, At: time.Now()}
	if c.Time != "" {
		at, err := time.Parse(time.RFC3339, c.Time)
		if err != nil {
			t.Fatal(err)
		}
		o.At = at
	}
	if c.Name != nil && c.Name.Kind == "email" {
		o.Email = c.Name.Value
	} else if c.Name != nil {
		o.Name = c.Name.Value
	}
	if c.Depth != nil {
		o.LimitDepth, o.MaxDepth = true, *c.Depth
	}
	if p := c.Policy; p != nil {
		o.Policies = inspect.PolicyOptions{Explicit: p.Explicit, InhibitMapping: p.InhibitMap, InhibitAny: p.InhibitAny}
		if !slices.Equal(p.Initial, []string{"2.5.29.32.0"}) {
			o.Policies.Initial = p.Initial
		}
	}
	for _, text := range c.CRLs {
		l, err := inspect.ReadCRL(derOf(text))
		if err != nil {
			return false, err.Error()
		}
		o.CRLs = append(o.CRLs, l)
	}
	if c.CRLScope == "chain" {
		o.CRLCheck = inspect.CRLCheckChain
	}
	if c.OCSP != "" {
		der, err := base64.StdEncoding.DecodeString(c.OCSP)
		if err != nil {
			t.Fatal(err)
		}
		if o.OCSP, err = inspect.ReadOCSP(der); err != nil {
			return false, err.Error()
		}
		issuer, whole := sound([]string{c.Issuer})
		if !whole {
			return false, "the issuer cannot be read"
		}
		o.OCSPIssuer = issuer[0]
	}
	target, err := inspect.ReadCertificate(derOf(c.Leaf))
	if err != nil {
		return false, err.Error()
	}
	r := inspect.Verify(c.ID, target, o)
	if !r.Trusted && len(r.Findings) == 0 {
		t.Errorf("%s: no, and no reason", c.ID)
	}
	why := ""
	for _, f := range r.Findings {
		why += f.Rule + ": " + f.Message + "; "
	}
	return r.Trusted, why
}

// suite is what is asked of one: how many cases are answered as expected, and how
// many yes where the standard says no.
type suite struct {
	name         string
	strict       bool
	skip         []string // tags of the cases that are not asked
	least        int      // 0: all that are asked
	step         int      // only every so many cases are asked, to be quick; 0 is all
	falseAccepts int
}

func TestSuites(t *testing.T) {
	for _, s := range []suite{
		{name: "limbo", strict: true, skip: []string{"webpki", "pedantic"}, least: 74},
		{name: "pkits", least: 110},
		{name: "bettertls-pathbuilding", least: 49},
		{name: "bssl-chain", least: 47},
		{name: "bssl-crl", least: 34, falseAccepts: 2},
		{name: "openssl-verify", least: 52, falseAccepts: 1},
		{name: "ocsp", least: 41, falseAccepts: 1},
		{name: "spiffe", least: 140},
		{name: "mesh", least: 8},
		{name: "bettertls-nameconstraints", step: constrainedStep},
	} {
		t.Run(s.name, func(t *testing.T) { s.run(t) })
	}
}

func (s suite) run(t *testing.T) {
	asked, passed, accepted := 0, 0, 0
	slowest := time.Duration(0)
	for i, c := range suiteCases(t, s.name) {
		if s.step > 1 && i%s.step != 0 {
			continue
		}
		if slices.ContainsFunc(s.skip, func(tag string) bool { return slices.Contains(c.Tags, tag) }) {
			continue
		}
		asked++
		start := time.Now()
		yes, why := c.accepts(t, s.strict)
		slowest = max(slowest, time.Since(start))
		switch want := c.Expect == "accept"; {
		case yes == want:
			passed++
		case yes && !c.Soft:
			accepted++
			t.Logf("%s: yes, and it should be no", c.ID)
		default:
			t.Logf("%s: %v, soft %v: %s", c.ID, yes, c.Soft, why)
		}
	}
	t.Logf("%d of %d, %d false accepts, the slowest %v", passed, asked, accepted, slowest)
	if s.least == 0 {
		s.least = asked
	}
	if passed < s.least || accepted > s.falseAccepts {
		t.Errorf("%d of %d as expected, at least %d are asked; %d false accepts", passed, asked, s.least, accepted)
	}
}

// suitesBeside is where the suites are: MESHPKI_SUITES, or beside the project.
func suitesBeside() string {
	if folder := os.Getenv("MESHPKI_SUITES"); folder != "" {
		return folder
	}
	return filepath.Join("..", "..", "shared", "suites")
}
