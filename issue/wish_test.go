package issue_test

import (
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/spiffeid"
	"github.com/meshpki/meshpki/issue"
)

var start = time.Date(2026, 11, 21, 21, 40, 0, 0, time.UTC)

func clock() time.Time { return start }

func trustDomain(t testing.TB, name string) spiffeid.TrustDomain {
	t.Helper()
	td, err := spiffeid.ParseTrustDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return td
}

// wish is that of payment in prod, with what is changed of it.
func wish(t testing.TB, change func(w *issue.Wish)) issue.Wish {
	t.Helper()
	w := issue.Wish{Service: "payment", Namespace: "prod", TrustDomain: trustDomain(t, "cluster.local"), ClusterDomain: "cluster.local"}
	if change != nil {
		change(&w)
	}
	return w
}

// said lists an identity's names as text, the common name as CN=….
func said(id ca.Identity) []string {
	var out []string
	for _, n := range id.Names() {
		if n.Type == ca.CommonName {
			n.Value = "CN=" + n.Value
		}
		out = append(out, n.Value)
	}
	return out
}

// wished are wishes and the names that they come to: URIs, DNS names, addresses,
// the common name.
func wished(t testing.TB) []wishTest {
	usual := []string{"payment.prod", "payment.prod.svc", "payment.prod.svc.cluster.local"}
	return []wishTest{
		{"default", nil, slices.Concat([]string{"spiffe://cluster.local/ns/prod/sa/payment"}, usual, []string{"CN=payment"}),
			"spiffe://cluster.local/ns/prod/sa/payment"},
		{"istio", func(w *issue.Wish) { w.Kind = issue.Istio },
			slices.Concat([]string{"spiffe://cluster.local/ns/prod/sa/payment"}, usual, []string{"CN=payment"}),
			"spiffe://cluster.local/ns/prod/sa/payment"},
		{"dapr", func(w *issue.Wish) { w.Kind = issue.Dapr; w.TrustDomain = trustDomain(t, "public") },
			slices.Concat([]string{"spiffe://public/ns/prod/payment"}, usual, []string{"CN=payment"}),
			"spiffe://public/ns/prod/payment"},
		{"kuma has two URIs and so is no SVID", func(w *issue.Wish) { w.Kind = issue.Kuma; w.TrustDomain = trustDomain(t, "default") },
			slices.Concat([]string{"spiffe://default/payment", "kuma://kuma.io/service/payment"}, usual, []string{"CN=payment"}), ""},
		{"kuma with a tag", func(w *issue.Wish) {
			w.Kind, w.Service, w.URI = issue.Kuma, "payment_prod_svc_80", []string{"kuma://kuma.io/zone/east"}
		}, []string{"spiffe://cluster.local/payment_prod_svc_80", "kuma://kuma.io/service/payment_prod_svc_80", "kuma://kuma.io/zone/east",
			"CN=payment_prod_svc_80"}, ""},
		{"consul", func(w *issue.Wish) { w.Kind, w.Datacenter = issue.Consul, "dc1" },
			slices.Concat([]string{"spiffe://cluster.local/ns/prod/dc/dc1/svc/payment"}, usual, []string{"CN=payment"}),
			"spiffe://cluster.local/ns/prod/dc/dc1/svc/payment"},
		{"consul with an underscore has no default DNS names", func(w *issue.Wish) {
			w.Kind, w.Datacenter, w.Service = issue.Consul, "dc_1", "pay_ment"
		}, []string{"spiffe://cluster.local/ns/prod/dc/dc_1/svc/pay_ment", "CN=pay_ment"}, "spiffe://cluster.local/ns/prod/dc/dc_1/svc/pay_ment"},
		{"linkerd has its own name and no URI", func(w *issue.Wish) { w.Kind = issue.Linkerd },
			[]string{"payment.prod.serviceaccount.identity.linkerd.cluster.local", "CN=payment"}, ""},
		{"linkerd without default DNS names keeps its identity", func(w *issue.Wish) { w.Kind, w.NoDefaultDNS = issue.Linkerd, true },
			[]string{"payment.prod.serviceaccount.identity.linkerd.cluster.local", "CN=payment"}, ""},
		{"plain", func(w *issue.Wish) { w.Kind = issue.Plain }, append(slices.Clone(usual), "CN=payment"), ""},
		{"plain with URIs", func(w *issue.Wish) {
			w.Kind, w.NoDefaultDNS, w.URI = issue.Plain, true, []string{"https://example.com/x", "urn:x:y"}
		}, []string{"https://example.com/x", "urn:x:y", "CN=payment"}, ""},
		{"plain with a SPIFFE ID", func(w *issue.Wish) {
			w.Kind, w.NoDefaultDNS, w.SPIFFEID = issue.Plain, true, "spiffe://other.example/x"
		}, []string{"spiffe://other.example/x", "CN=payment"}, "spiffe://other.example/x"},
		{"an ID of one's own instead of the convention's", func(w *issue.Wish) { w.SPIFFEID = "spiffe://cluster.local/job/7" },
			slices.Concat([]string{"spiffe://cluster.local/job/7"}, usual, []string{"CN=payment"}), "spiffe://cluster.local/job/7"},
		{"a trust domain and a cluster domain", func(w *issue.Wish) {
			w.TrustDomain, w.ClusterDomain = trustDomain(t, "example.org"), "k8s.example.org"
		}, []string{"spiffe://example.org/ns/prod/sa/payment", "payment.prod", "payment.prod.svc", "payment.prod.svc.k8s.example.org", "CN=payment"},
			"spiffe://example.org/ns/prod/sa/payment"},
		{"in namespace default the bare name too", func(w *issue.Wish) { w.Namespace = "default" },
			[]string{"spiffe://cluster.local/ns/default/sa/payment", "payment.default", "payment.default.svc",
				"payment.default.svc.cluster.local", "payment", "CN=payment"}, "spiffe://cluster.local/ns/default/sa/payment"},
		{"elsewhere when it is asked for", func(w *issue.Wish) { w.ShortNames = true },
			slices.Concat([]string{"spiffe://cluster.local/ns/prod/sa/payment"}, usual, []string{"payment", "CN=payment"}),
			"spiffe://cluster.local/ns/prod/sa/payment"},
		{"names beside the default ones, each once", func(w *issue.Wish) {
			w.DNS, w.IP, w.Email = []string{"payment.example.com", "payment.prod"}, []string{"10.0.0.5", "10.0.0.5"}, []string{"ops@example.com"}
		}, slices.Concat([]string{"spiffe://cluster.local/ns/prod/sa/payment"}, usual,
			[]string{"payment.example.com", "10.0.0.5", "ops@example.com", "CN=payment"}), "spiffe://cluster.local/ns/prod/sa/payment"},
		{"without default DNS names", func(w *issue.Wish) { w.NoDefaultDNS, w.DNS = true, []string{"payment.example.com"} },
			[]string{"spiffe://cluster.local/ns/prod/sa/payment", "payment.example.com", "CN=payment"}, "spiffe://cluster.local/ns/prod/sa/payment"},
		{"a common name", func(w *issue.Wish) { w.NoDefaultDNS, w.CommonName = true, "Payment Service" },
			[]string{"spiffe://cluster.local/ns/prod/sa/payment", "CN=Payment Service"}, "spiffe://cluster.local/ns/prod/sa/payment"},
		{"no subject", func(w *issue.Wish) { w.NoDefaultDNS, w.NoSubject = true, true },
			[]string{"spiffe://cluster.local/ns/prod/sa/payment"}, "spiffe://cluster.local/ns/prod/sa/payment"},
		{"names as long as can be", func(w *issue.Wish) {
			w.Service, w.Namespace, w.NoDefaultDNS = strings.Repeat("s", 63), strings.Repeat("n", 63), true
		}, []string{"spiffe://cluster.local/ns/" + strings.Repeat("n", 63) + "/sa/" + strings.Repeat("s", 63), "CN=" + strings.Repeat("s", 63)},
			"spiffe://cluster.local/ns/" + strings.Repeat("n", 63) + "/sa/" + strings.Repeat("s", 63)},
	}
}

type wishTest struct {
	name   string
	change func(w *issue.Wish)
	want   []string
	svid   string // the SPIFFE ID among them
}

func TestWish(t *testing.T) {
	for _, test := range wished(t) {
		t.Run(test.name, func(t *testing.T) {
			id, leftOut, err := wish(t, test.change).Identity(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := said(id); !slices.Equal(got, test.want) {
				t.Errorf("names\n%q, want\n%q", got, test.want)
			}
			if id.SPIFFEID().String() != test.svid {
				t.Errorf("SPIFFE ID %q, want %q", id.SPIFFEID(), test.svid)
			}
			if len(leftOut) > 0 {
				t.Errorf("left out: %v", leftOut)
			}
		})
	}
}

func TestWishWithASubject(t *testing.T) {
	dn, err := ca.ParseDN("CN=payment,O=Example")
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := wish(t, func(w *issue.Wish) { w.Subject = dn }).Identity(nil)
	if err != nil || id.Subject().String() != dn.String() {
		t.Errorf("subject %s, %v; want %s", id.Subject(), err, dn)
	}
}

// refusing is a judge that is against some names.
func refusing(names ...string) func(ca.Name) error {
	return func(n ca.Name) error {
		if slices.Contains(names, n.Value) {
			return &ca.Refusal{What: n.String(), Why: "it is one of those"}
		}
		return nil
	}
}

func TestLeftOutNames(t *testing.T) {
	all := func(ca.Name) error { return errors.New("no name at all") }
	const id = "spiffe://cluster.local/ns/prod/sa/payment"
	for _, test := range []struct {
		name    string
		change  func(w *issue.Wish)
		judge   func(ca.Name) error
		want    []string
		leftOut []string
	}{
		{"a default name", nil, refusing("payment.prod.svc"),
			[]string{id, "payment.prod", "payment.prod.svc.cluster.local", "CN=payment"}, []string{"payment.prod.svc"}},
		{"the bare name as DNS name and as subject", func(w *issue.Wish) { w.ShortNames = true }, refusing("payment"),
			[]string{id, "payment.prod", "payment.prod.svc", "payment.prod.svc.cluster.local"}, []string{"payment", "payment"}},
		{"what was asked for stays", func(w *issue.Wish) {
			w.NoDefaultDNS, w.DNS, w.IP, w.CommonName = true, []string{"a.example"}, []string{"10.0.0.5"}, "Payment"
		}, all, []string{id, "a.example", "10.0.0.5", "CN=Payment"}, nil},
		{"a default name that was also asked for stays", func(w *issue.Wish) { w.DNS = []string{"payment.prod"} }, refusing("payment.prod"),
			[]string{id, "payment.prod.svc", "payment.prod.svc.cluster.local", "payment.prod", "CN=payment"}, []string{"payment.prod"}},
		{"the ID stays, to be refused", nil, all, []string{id},
			[]string{"payment.prod", "payment.prod.svc", "payment.prod.svc.cluster.local", "payment"}},
		{"Linkerd's identity stays, to be refused", func(w *issue.Wish) { w.Kind = issue.Linkerd }, all,
			[]string{"payment.prod.serviceaccount.identity.linkerd.cluster.local"}, []string{"payment"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, leftOut, err := wish(t, test.change).Identity(test.judge)
			if err != nil {
				t.Fatal(err)
			}
			if got := said(id); !slices.Equal(got, test.want) {
				t.Errorf("names %q, want %q", got, test.want)
			}
			var left []string
			for _, n := range leftOut {
				left = append(left, n.Value)
			}
			if !slices.Equal(left, test.leftOut) {
				t.Errorf("left out %q, want %q", left, test.leftOut)
			}
		})
	}
}

// Under a constrained CA the default wish is certified, less what is outside.
func TestWishUnderConstraints(t *testing.T) {
	authority, err := memory.NewAuthority(t.Context(), memory.AuthorityOptions{Now: clock,
		Constraints: ca.Constraints{DNS: []string{"prod", "svc.cluster.local"}, URI: []spiffeid.TrustDomain{trustDomain(t, "cluster.local")}}})
	if err != nil {
		t.Fatal(err)
	}
	id, leftOut, err := wish(t, nil).Identity(authority.Judge)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"spiffe://cluster.local/ns/prod/sa/payment", "payment.prod", "payment.prod.svc.cluster.local"}
	if got := said(id); !slices.Equal(got, want) || len(leftOut) != 2 {
		t.Errorf("names %q, want %q; left out %v", got, want, leftOut)
	}
	o := order(t)
	o.Identity = id
	if _, err := issue.Obtain(t.Context(), authority, o, start); err != nil {
		t.Error(err)
	}
	other := wish(t, func(w *issue.Wish) { w.TrustDomain = trustDomain(t, "other.example") })
	if o.Identity, _, err = other.Identity(authority.Judge); err != nil {
		t.Fatal(err)
	}
	_, err = issue.Obtain(t.Context(), authority, o, start)
	if _, refused := ca.IsRefusal(err); !refused {
		t.Errorf("another trust domain: error %v, want a refusal", err)
	}
}

func TestWishErrors(t *testing.T) {
	dn := pkix.RDNSequence{{{Type: []int{2, 5, 4, 10}, Value: "Example"}}}
	for _, test := range []struct {
		name   string
		change func(w *issue.Wish)
		field  string // what the field begins with
		why    string // what is in its reason
	}{
		{"no service", func(w *issue.Wish) { w.Service = "" }, `service ""`, "RFC 1123, Section 2.1"},
		{"a path", func(w *issue.Wish) { w.Service = "../../etc" }, `service "../../etc"`, "is not a name"},
		{"a slash", func(w *issue.Wish) { w.Service = "a/b" }, `service "a/b"`, "is not a name"},
		{"capitals", func(w *issue.Wish) { w.Service = "Payment" }, "service", "lower-case"},
		{"a dot", func(w *issue.Wish) { w.Service = "a.b" }, "service", "is not a name"},
		{"a hyphen in front", func(w *issue.Wish) { w.Service = "-a" }, "service", "is not a name"},
		{"a hyphen behind", func(w *issue.Wish) { w.Service = "a-" }, "service", "is not a name"},
		{"an underscore", func(w *issue.Wish) { w.Service = "a_b" }, "service", "is not a name"},
		{"64 letters", func(w *issue.Wish) { w.Service = strings.Repeat("a", 64) }, "service", "1 to 63"},
		{"300 letters", func(w *issue.Wish) { w.Service = strings.Repeat("a", 300) }, "service", "1 to 63"},
		{"control characters", func(w *issue.Wish) { w.Service = "a\x1b[31m\u202e" }, `service "a\x1b[31m\u202e"`, "is not a name"},
		{"letters that are not ASCII", func(w *issue.Wish) { w.Service = "zählung" }, `service "z\u00e4hlung"`, "is not a name"},
		{"no namespace", func(w *issue.Wish) { w.Namespace = "" }, `namespace ""`, "is not a name"},
		{"a namespace up", func(w *issue.Wish) { w.Namespace = ".." }, `namespace ".."`, "is not a name"},
		{"kuma with capitals", func(w *issue.Wish) { w.Kind, w.Service = issue.Kuma, "A_b" }, "service", "'_'"},
		{"consul without a datacenter", func(w *issue.Wish) { w.Kind = issue.Consul }, "identity consul", "--datacenter"},
		{"consul with a path for one", func(w *issue.Wish) { w.Kind, w.Datacenter = issue.Consul, "../x" }, `datacenter "../x"`, "is not a name"},
		{"a datacenter without consul", func(w *issue.Wish) { w.Datacenter = "dc1" }, "datacenter", "consul"},
		{"a URI beside an ID", func(w *issue.Wish) { w.URI = []string{"urn:x"} }, `uri "urn:x"`, "X509-SVID, Section 2"},
		{"a URI for linkerd", func(w *issue.Wish) { w.Kind, w.URI = issue.Linkerd, []string{"urn:x"} }, "uri", "X509-SVID, Section 2"},
		{"an ID beside a URI", func(w *issue.Wish) { w.Kind, w.URI, w.SPIFFEID = issue.Plain, []string{"urn:x"}, "spiffe://a/b" },
			"spiffe-id", "X509-SVID, Section 2"},
		{"an ID that is none", func(w *issue.Wish) { w.SPIFFEID = "https://example.com" }, "spiffe-id", "SPIFFE-ID, Section 2"},
		{"an ID with a query", func(w *issue.Wish) { w.SPIFFEID = "spiffe://a/b?c" }, "spiffe-id", "SPIFFE-ID, Section 2.2"},
		{"an ID of a trust domain", func(w *issue.Wish) { w.SPIFFEID = "spiffe://cluster.local" }, "spiffe-id", "path"},
		{"a subject twice", func(w *issue.Wish) { w.CommonName, w.Subject = "a", dn }, "subject", "twice"},
		{"a subject and none", func(w *issue.Wish) { w.CommonName, w.NoSubject = "a", true }, "subject", "twice"},
		{"plain without any name", func(w *issue.Wish) { w.Kind, w.NoDefaultDNS, w.NoSubject = issue.Plain, true, true },
			"identity plain", "there is no name in it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := wish(t, test.change).Identity(nil)
			we, ok := errors.AsType[*issue.WishError](err)
			if !ok {
				t.Fatalf("error %v, want a *issue.WishError", err)
			}
			if !strings.HasPrefix(we.Field, test.field) || !strings.Contains(we.Why, test.why) {
				t.Errorf("error %q about %q, want one about %q with %q", we.Why, we.Field, test.field, test.why)
			}
			if strings.ContainsAny(err.Error(), "\x1b\u202e") || len(err.Error()) > 600 {
				t.Errorf("error %q is not fit to be shown", err)
			}
		})
	}
}

// Names that are wrong as names are the ca room's to refuse.
func TestWishForWrongNames(t *testing.T) {
	for name, change := range map[string]func(w *issue.Wish){
		"an address as DNS name":        func(w *issue.Wish) { w.DNS = []string{"10.0.0.5"} },
		"a DNS name as address":         func(w *issue.Wish) { w.IP = []string{"payment.prod"} },
		"no address":                    func(w *issue.Wish) { w.IP = []string{"999.0.0.1"} },
		"no email address":              func(w *issue.Wish) { w.Email = []string{"payment"} },
		"no URI":                        func(w *issue.Wish) { w.Kind, w.URI = issue.Plain, []string{"::"} },
		"a common name too long":        func(w *issue.Wish) { w.CommonName = strings.Repeat("x", 65) },
		"a cluster domain that is none": func(w *issue.Wish) { w.ClusterDomain = "" },
	} {
		_, _, err := wish(t, change).Identity(nil)
		if _, ok := errors.AsType[*ca.NameError](err); !ok {
			t.Errorf("%s: error %v, want a *ca.NameError", name, err)
		}
	}
}

func TestNothingLeft(t *testing.T) {
	w := wish(t, func(w *issue.Wish) { w.Kind = issue.Plain })
	_, leftOut, err := w.Identity(func(n ca.Name) error { return &ca.Refusal{What: n.String()} })
	we, ok := errors.AsType[*issue.WishError](err)
	if !ok || !strings.Contains(we.Why, "constraints") || len(leftOut) != 4 {
		t.Errorf("error %v, left out %v", err, leftOut)
	}
}

func TestParseKind(t *testing.T) {
	for _, k := range append(issue.Kinds(), issue.Default) {
		if got, err := issue.ParseKind(string(k)); err != nil || got != k {
			t.Errorf("%q is read as %q, %v", k, got, err)
		}
	}
	for _, s := range []string{"Istio", "spire", " ", "istio\x00"} {
		if got, err := issue.ParseKind(s); err == nil {
			t.Errorf("%q is read as %q", s, got)
		}
	}
}

func FuzzWish(f *testing.F) {
	f.Add("payment", "prod", "", "cluster.local", "", "payment.example.com", "urn:x", "cn")
	f.Add("a_b", "default", "kuma", "x", "spiffe://a/b", "*.x.y", "kuma://a/b", "")
	f.Add("a", "b", "consul", "", "", "", "", "\x1b")
	td := trustDomain(f, "cluster.local")
	f.Fuzz(func(t *testing.T, service, namespace, kind, domain, spiffe, dns, uri, cn string) {
		w := issue.Wish{Service: service, Namespace: namespace, Kind: issue.Kind(kind), TrustDomain: td, ClusterDomain: domain,
			SPIFFEID: spiffe, DNS: []string{dns}, CommonName: cn, Datacenter: map[bool]string{true: "dc1"}[kind == "consul"]}
		if uri != "" {
			w.URI = []string{uri}
		}
		id, _, err := w.Identity(nil)
		if err != nil {
			return
		}
		if strings.ContainsAny(service+namespace, "/. ") {
			t.Errorf("service %q in namespace %q was taken", service, namespace)
		}
		convention := w.Kind == issue.Default || w.Kind == issue.Istio || w.Kind == issue.Dapr || w.Kind == issue.Consul
		if convention && (id.SPIFFEID().IsZero() || len(id.URIs()) != 1) {
			t.Errorf("identity %q has %q and is no SVID", kind, id.URIs())
		}
	})
}
