package ca

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestRulesPick(t *testing.T) {
	for _, test := range []struct {
		kind          RuleKind
		pattern       string
		name          Name
		allow, forbid bool
	}{
		{RuleDNS, "example.com", Name{DNS, "example.com"}, true, true},
		{RuleDNS, "example.com", Name{DNS, "A.Example.com"}, true, true},
		{RuleDNS, ".example.com", Name{DNS, "example.com"}, false, false},
		{RuleDNS, "example.com", Name{DNS, "badexample.com"}, false, false},
		{RuleDNS, "a.example.com", Name{DNS, "*.example.com"}, false, true},
		{RuleDNSGlob, "*.example.com", Name{DNS, "a.example.com"}, true, true},
		{RuleDNSGlob, "*.example.com", Name{DNS, "a.b.example.com"}, false, false},
		{RuleDNSGlob, "**.example.com", Name{DNS, "a.b.example.com"}, true, true},
		{RuleDNSGlob, "**.example.com", Name{DNS, "example.com"}, false, false},
		{RuleDNSGlob, "db-*.example.com", Name{DNS, "db-1.example.com"}, true, true},
		{RuleDNSGlob, "db-*.example.com", Name{DNS, "*.example.com"}, false, true},
		{RuleDNSGlob, "*.example.com", Name{DNS, "*.example.com"}, true, true},
		{RuleIP, "10.0.0.0/8", Name{IP, "10.1.2.3"}, true, true},
		{RuleIP, "10.0.0.0/8", Name{IP, "11.1.2.3"}, false, false},
		{RuleIP, "10.0.0.5", Name{IP, "10.0.0.5"}, true, true},
		{RuleIP, "fd00::/8", Name{IP, "10.0.0.5"}, false, false},
		{RuleSPIFFE, "spiffe://td/ns/prod", Name{URI, "spiffe://td/ns/prod/sa/a"}, true, true},
		{RuleSPIFFE, "spiffe://td/ns/prod/", Name{URI, "spiffe://td/ns/prod/sa/a"}, true, true},
		{RuleSPIFFE, "spiffe://td/ns/prod", Name{URI, "spiffe://td/ns/production/sa/a"}, false, false},
		{RuleSPIFFE, "spiffe://td", Name{URI, "spiffe://td.example/a"}, false, false},
		{RuleSPIFFE, "spiffe://td", Name{URI, "spiffe://td/a"}, true, true},
		{RuleURI, "kuma://kuma.io/*", Name{URI, "kuma://kuma.io/service/a"}, false, false},
		{RuleURI, "kuma://kuma.io/**", Name{URI, "kuma://kuma.io/service/a"}, true, true},
		{RuleURI, "spiffe://td/ns/*/sa/a", Name{URI, "spiffe://td/ns/b/sa/a"}, true, true},
		{RuleEmail, "example.com", Name{Email, "a@example.com"}, true, true},
		{RuleEmail, "example.com", Name{Email, "a@b.example.com"}, false, true},
		{RuleEmail, ".example.com", Name{Email, "a@b.example.com"}, true, true},
		{RuleEmail, "a@example.com", Name{Email, "b@example.com"}, false, false},
		{RuleCommonName, "payment-*", Name{CommonName, "payment-1"}, true, true},
		{RuleCommonName, "payment-*", Name{CommonName, "account"}, false, false},
		{RuleDNS, "example.com", Name{IP, "10.0.0.1"}, false, false},
	} {
		r := Rule{Kind: test.kind, Pattern: test.pattern}
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", r, err)
		}
		if got := r.picks(test.name, false); got != test.allow {
			t.Errorf("%s allows %s: %v", r, test.name, got)
		}
		if got := r.picks(test.name, true); got != test.forbid {
			t.Errorf("%s forbids %s: %v", r, test.name, got)
		}
	}
}

func TestRulesThatCannotBe(t *testing.T) {
	for kind, patterns := range map[RuleKind][]string{
		RuleDNS:        {"", "*.a.b", "a b", "..", "10.0.0.1", strings.Repeat("a.", 300)},
		RuleDNSGlob:    {"a.b", "a**.b", "*.a/b", "[a].*", "*..a", strings.Repeat("*.", 9) + "a"},
		RuleIP:         {"", "a", "10.0.0.0/33", "::ffff:10.0.0.0/104", "fe80::1%eth0"},
		RuleSPIFFE:     {"spiffe://", "https://a/b", "spiffe://A/b", "spiffe://a//b", "spiffe://a/b//"},
		RuleURI:        {"*", "a", "ü://a"},
		RuleEmail:      {"@", "*.a.b", "a@*.b"},
		RuleCommonName: {""},
		"regexp":       {".*"},
	} {
		for _, p := range patterns {
			if err := (Rule{Kind: kind, Pattern: p}).Validate(); err == nil {
				t.Errorf("%s %q is taken", kind, p)
			}
		}
	}
}

func TestPoliciesThatCannotBe(t *testing.T) {
	for field, w := range map[string]Policy{
		"name":           {Name: "server"},
		"from":           {From: "ca"},
		"usages":         {Usages: []string{"server auth"}},
		"maxValidity":    {Validity: 2 * day, MaxValidity: day},
		"minValidity":    {Validity: day, MinValidity: 2 * day},
		"allow[1]":       {Allow: []Rule{{Kind: RuleDNS, Pattern: "a.b"}, {Kind: RuleDNS, Pattern: "*"}}},
		"forbid[0]":      {Forbid: []Rule{{}}},
		"keyTypes":       {KeyTypes: []KeyType{"dsa"}},
		"subject.fields": {SubjectFields: []string{"X"}},
		"subject.add":    {Subject: "CN=a"},
		"policies":       {Policies: []string{"1.2.3", "1.2.3"}},
		"urls":           {URLs: &URLs{CRL: []string{"https://a/b"}}},
	} {
		_, err := NewProfile(w)
		if wrong, ok := errors.AsType[*PolicyError](err); !ok || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// What is called the nearest name that would pass does pass, and what is refused is
// refused by Check as well; for random profiles and names.
func TestNearestPasses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	refused, advised := 0, 0
	for range 3000 {
		p := randomProfile(t, r)
		n := randomName(r)
		err := p.Judge(n)
		id, identityErr := NewIdentity(onlyName(n))
		if identityErr != nil {
			continue
		}
		if checked := p.Check(id, p.KeyType(), p.Validity()); (err == nil) != (checked == nil) {
			t.Fatalf("%+v: Judge says %v of %s, Check %v", p.Own(), err, n, checked)
		}
		if err == nil {
			continue
		}
		refused++
		refusal, ok := errors.AsType[*RuleRefusal](err)
		if !ok || refusal.Rule == "" {
			t.Fatalf("%s: %v names no rule", n, err)
		}
		if _, ok := IsRefusal(err); !ok {
			t.Fatalf("%v is no Refusal", err)
		}
		if refusal.Nearest == "" {
			continue
		}
		advised++
		near := Name{n.Type, refusal.Nearest}
		if err := p.Judge(near); err != nil || !wellFormed(near) {
			t.Fatalf("%+v: %s is said to pass instead of %s: %v", p.Own(), near, n, err)
		}
	}
	if refused < 500 || advised < 200 {
		t.Errorf("%d were refused, %d with advice: the test tries too little", refused, advised)
	}
}

// Of each kind of rule, what is called the nearest name keeps what it can of the one
// that is refused.
func TestNearestKeepsWhatItCan(t *testing.T) {
	rule := func(kind RuleKind, pattern string) []Rule { return []Rule{{kind, pattern, "m.yaml:7"}} }
	for _, test := range []struct {
		allow, forbid []Rule
		refused       Name
		want          string
	}{
		{rule(RuleDNS, "prod.example"), nil, Name{DNS, "web.dev.example"}, "web.prod.example"},
		{rule(RuleDNSGlob, "*.prod.example"), nil, Name{DNS, "web.dev.example"}, "web.prod.example"},
		{rule(RuleIP, "10.1.0.0/16"), nil, Name{IP, "10.2.3.4"}, "10.1.3.4"},
		{rule(RuleSPIFFE, "spiffe://td/ns/prod"), nil, Name{URI, "spiffe://td/ns/dev/sa/a"}, "spiffe://td/ns/prod/sa/a"},
		{rule(RuleURI, "kuma://kuma.io/service/*"), nil, Name{URI, "kuma://kuma.io/servce/x"}, "kuma://kuma.io/service/x"},
		{rule(RuleURI, "urn:a/**"), nil, Name{URI, "urn:b/c/d"}, "urn:a/c/d"},
		{rule(RuleEmail, ".example.com"), nil, Name{Email, "me@mail.example.org"}, "me@mail.example.com"},
		{rule(RuleCommonName, "pay-*"), nil, Name{CommonName, "roll"}, "pay-roll"},
		{nil, rule(RuleDNS, "corp.example"), Name{DNS, "a.b.corp.example"}, "a.b.example"},
		{nil, rule(RuleDNS, "corp.example"), Name{DNS, "*.corp.example"}, "example"},
		{nil, rule(RuleDNSGlob, "db-*.example.com"), Name{DNS, "*.example.com"}, "example.com"},
		{nil, rule(RuleIP, "10.0.0.0/8"), Name{IP, "10.1.2.3"}, "11.1.2.3"},
		{nil, rule(RuleIP, "0.0.0.0/1"), Name{IP, "10.1.2.3"}, "138.1.2.3"},
		{nil, rule(RuleIP, "0.0.0.0/0"), Name{IP, "10.1.2.3"}, ""},
		{nil, rule(RuleIP, "fd00::/8"), Name{IP, "fd00::5"}, "fe00::5"},
		{nil, rule(RuleEmail, ".example.com"), Name{Email, "me@mail.example.com"}, "me@example.com"},
		{nil, rule(RuleSPIFFE, "spiffe://td/ns/prod"), Name{URI, "spiffe://td/ns/prod/sa/a"}, "spiffe://td/ns/default/sa/a"},
		{nil, rule(RuleURI, "kuma://kuma.io/admin/**"), Name{URI, "kuma://kuma.io/admin/x/y"}, "kuma://kuma.io/x/y"},
		{nil, rule(RuleCommonName, "admin*"), Name{CommonName, "admin-payment"}, "payment"},
	} {
		p, err := NewProfile(Policy{Name: "own", At: "m.yaml:1", Allow: test.allow, Forbid: test.forbid})
		if err != nil {
			t.Fatal(err)
		}
		refusal, ok := errors.AsType[*RuleRefusal](p.Judge(test.refused))
		if !ok || refusal.Rule != "m.yaml:7" || refusal.Nearest != test.want {
			t.Errorf("%v %v of %s: %+v, want %q", test.allow, test.forbid, test.refused, refusal, test.want)
		}
	}
}

// A refusal by a part of the profile that is no rule of a list names that part's line.
func TestPartsHavePlaces(t *testing.T) {
	p, err := NewProfile(Policy{Name: "own", At: "m.yaml:1", KeyTypes: []KeyType{ECP384}, Validity: 5 * day, MinValidity: 2 * day, MaxValidity: 9 * day,
		NoWildcards: true, SubjectFields: []string{"CN"},
		Places: map[string]string{"keyTypes": "m.yaml:2", "minValidity": "m.yaml:3", "maxValidity": "m.yaml:4", "noWildcards": "m.yaml:5", "subject": "m.yaml:6"}})
	if err != nil {
		t.Fatal(err)
	}
	dn, err := ParseDN("CN=a b,OU=c")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		names         Names
		kt            KeyType
		life          time.Duration
		rule, nearest string
	}{
		{Names{DNS: []string{"a"}}, ECP256, 5 * day, "m.yaml:2", "ec-p384"},
		{Names{DNS: []string{"a"}}, ECP384, day, "m.yaml:3", "2d"},
		{Names{DNS: []string{"a"}}, ECP384, 10 * day, "m.yaml:4", "9d"},
		{Names{DNS: []string{"*.a.b"}}, ECP384, 5 * day, "m.yaml:5", "a.b"},
		{Names{DNS: []string{"a"}, Subject: dn}, ECP384, 5 * day, "m.yaml:6", "CN=a b"},
	} {
		id, err := NewIdentity(test.names)
		if err != nil {
			t.Fatal(err)
		}
		refusal, ok := errors.AsType[*RuleRefusal](p.Check(id, test.kt, test.life))
		if !ok || refusal.Rule != test.rule || refusal.Nearest != test.nearest || !strings.Contains(refusal.Error(), test.rule) {
			t.Errorf("%+v: %+v, want %s and %s", test.names, refusal, test.rule, test.nearest)
		}
	}
}

func onlyName(n Name) Names {
	switch n.Type {
	case DNS:
		return Names{DNS: []string{n.Value}}
	case IP:
		return Names{IP: []string{n.Value}}
	case Email:
		return Names{Email: []string{n.Value}}
	case URI:
		return Names{URI: []string{n.Value}}
	}
	return Names{Subject: CommonNameOnly(n.Value)}
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func randomDomain(r *rand.Rand) string {
	labels := []string{pick(r, "com", "org")}
	for range 1 + r.IntN(3) {
		labels = append([]string{pick(r, "a", "b", "prod", "dev", "db-1")}, labels...)
	}
	return strings.Join(labels, ".")
}

func randomAddress(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), 0, byte(r.IntN(256))})
	}
	return netip.MustParseAddr(fmt.Sprintf("fd00::%x:%x", r.IntN(4), r.IntN(65536)))
}

func randomName(r *rand.Rand) Name {
	switch r.IntN(5) {
	case 0:
		return Name{DNS, pick(r, "", "*.", "x.") + randomDomain(r)}
	case 1:
		return Name{IP, randomAddress(r).String()}
	case 2:
		return Name{Email, "me@" + randomDomain(r)}
	case 3:
		return Name{URI, "spiffe://" + pick(r, "td", "other") + "/ns/" + pick(r, "prod", "production", "dev") + "/sa/" + pick(r, "a", "b")}
	}
	return Name{CommonName, pick(r, "payment", "a.b.com", "Some Person", randomDomain(r))}
}

func randomRule(r *rand.Rand, at string) Rule {
	switch r.IntN(7) {
	case 0:
		return Rule{RuleDNS, pick(r, "", ".") + randomDomain(r), at}
	case 1:
		return Rule{RuleDNSGlob, pick(r, "*.", "**.", "x*.", "*-1.") + randomDomain(r), at}
	case 2:
		a := randomAddress(r)
		return Rule{RuleIP, netip.PrefixFrom(a, a.BitLen()-r.IntN(20)).Masked().String(), at}
	case 3:
		return Rule{RuleSPIFFE, "spiffe://td" + pick(r, "", "/ns/prod", "/ns/dev/sa/a", "/"), at}
	case 4:
		return Rule{RuleURI, pick(r, "spiffe://td/ns/*/sa/a", "spiffe://**", "urn:*"), at}
	case 5:
		return Rule{RuleEmail, pick(r, "", ".", "me@") + randomDomain(r), at}
	}
	return Rule{RuleCommonName, pick(r, "pay*", "*.com", "Some *", "x"), at}
}

func randomProfile(t *testing.T, r *rand.Rand) Profile {
	t.Helper()
	w := Policy{Name: "own", At: "m.yaml:1", From: pick(r, ProfileNames()...), NoWildcards: r.IntN(4) == 0}
	for i := range r.IntN(4) {
		w.Allow = append(w.Allow, randomRule(r, fmt.Sprintf("m.yaml:%d", 10+i)))
	}
	for i := range r.IntN(3) {
		w.Forbid = append(w.Forbid, randomRule(r, fmt.Sprintf("m.yaml:%d", 20+i)))
	}
	p, err := NewProfile(w)
	if err != nil {
		t.Fatalf("%+v: %v", w, err)
	}
	return p
}

func TestUsagesFitTheKey(t *testing.T) {
	p, err := NewProfile(Policy{Name: "own", Usages: Usages()})
	if err != nil {
		t.Fatal(err)
	}
	for kt, want := range map[KeyType]string{
		RSA2048: "digital signature, content commitment, key encipherment, data encipherment",
		ECP256:  "digital signature, content commitment, key agreement",
		Ed25519: "digital signature, content commitment",
	} {
		key, purposes := UsageNames(p.KeyUsage(kt), p.ExtKeyUsage())
		if got := strings.Join(key, ", "); got != want || len(purposes) != len(extendedUsages) {
			t.Errorf("%s: %s; %s", kt, got, purposes)
		}
	}
}

// A form changes with what stands in certificates, and with nothing else.
func TestForm(t *testing.T) {
	form := func(w Policy) string {
		t.Helper()
		w.Name = "own"
		p, err := NewProfile(w)
		if err != nil {
			t.Fatal(err)
		}
		return p.Form()
	}
	base := form(Policy{})
	if form(Policy{Allow: []Rule{{RuleDNS, "a.b", ""}}, MaxValidity: 400 * day, At: "m.yaml:7", KeyTypes: []KeyType{ECP384}, NoWildcards: true}) != base {
		t.Error("a rule makes another form")
	}
	for i, w := range []Policy{{From: "server"}, {Usages: []string{"digital signature", "client auth"}}, {Subject: "O=a"}, {Policies: []string{"1.2.3"}}, {URLs: &URLs{}}} {
		if form(w) == base {
			t.Errorf("%d: the form stays the same", i)
		}
	}
	if built, _ := ProfileByName("server"); built.Form() != "" {
		t.Error("a built-in profile has a form")
	}
}

func TestLifeIsBounded(t *testing.T) {
	p, err := NewProfile(Policy{Name: "own", Validity: 2 * day, MinValidity: day, MaxValidity: 3 * day})
	if err != nil {
		t.Fatal(err)
	}
	id, err := NewIdentity(Names{DNS: []string{"a.b"}})
	if err != nil {
		t.Fatal(err)
	}
	for life, good := range map[time.Duration]bool{day: true, 3 * day: true, day - time.Minute: false, 3*day + time.Minute: false} {
		if err := p.Check(id, ECP256, life); (err == nil) != good {
			t.Errorf("%s: %v", life, err)
		}
	}
}

func FuzzRule(f *testing.F) {
	f.Add("dnsGlob", "**.a.*", "x.a.b")
	f.Add("uri", "kuma://**/*", "kuma://a/b")
	f.Fuzz(func(t *testing.T, kind, pattern, name string) {
		r := Rule{Kind: RuleKind(kind), Pattern: pattern}
		if r.Validate() != nil {
			return
		}
		for _, typ := range []NameType{DNS, IP, Email, URI, CommonName} {
			n := Name{typ, name}
			if wellFormed(n) && r.picks(n, false) && !r.picks(n, true) {
				t.Errorf("%s allows %s and would not forbid it", r, n)
			}
			_ = r.toward(n)
		}
	})
}
