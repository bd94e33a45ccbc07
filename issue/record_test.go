package issue_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// fullRecord has something in every field: a field that gets lost is noticed.
func fullRecord() issue.Record {
	return issue.Record{
		Service: "payment", Namespace: "prod", TrustDomain: "cluster.local", Cluster: "cluster.local", Kind: issue.Consul, Datacenter: "dc1",
		SPIFFEID: "spiffe://cluster.local/x", DNS: []string{"a.example"}, IP: []string{"10.0.0.5"}, Email: []string{"a@example.com"}, URI: []string{"urn:x"},
		ShortNames: true, NoDNS: true, CommonName: "cn", Subject: "CN=x,O=y", NoSubject: true, Profile: "server", ProfileForm: "f0", Validity: "48h0m0s",
		RenewAt: 50, KeyType: "ed25519", Foreign: true, ReuseKey: true, Backend: "local", Outputs: []issue.RecordOutput{
			{To: "/etc/payment", Layouts: []string{"tls", "pem"}, Owner: "payment", Group: "payment", Mode: "0640"}},
	}
}

// simple is a record that can be ordered.
func simple() issue.Record {
	return issue.Record{Service: "payment", Namespace: "prod", TrustDomain: "cluster.local", Cluster: "cluster.local", Profile: "workload", KeyType: "ec-p256"}
}

func TestRecordIsKept(t *testing.T) {
	r := fullRecord()
	v := reflect.ValueOf(r)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Schema" && v.Field(i).IsZero() {
			t.Errorf("the test says nothing of %s", name)
		}
	}
	c := credential(t)
	order, err := r.OrderFact()
	if err != nil {
		t.Fatal(err)
	}
	facts := issue.Delivery{Order: order, Due: start.Add(time.Hour), At: start, From: issue.FromManifest, Former: []string{"/a", "/b"}}.Facts(c)
	for name, want := range map[string]string{
		issue.FactSerial: ca.FormatSerial(c.Leaf().SerialNumber), issue.FactDue: "2026-11-21T22:40:00Z", issue.FactNotAfter: "2026-11-22T21:40:00Z",
		issue.FactDelivered: "2026-11-21T21:40:00Z", issue.FactFrom: "manifest", issue.FactFormer: `["/a","/b"]`,
	} {
		if facts[name] != want {
			t.Errorf("fact %s is %q, want %q", name, facts[name], want)
		}
	}
	for _, name := range []string{issue.FactFrom, issue.FactFormer} {
		if text, ok := (issue.Delivery{Order: order}).Facts(c)[name]; ok {
			t.Errorf("fact %s is %q where there is none", name, text)
		}
	}
	back, err := issue.RecordOf(facts)
	if err != nil {
		t.Fatal(err)
	}
	if changed := r.Changes(back); len(changed) > 0 {
		t.Errorf("read back with other %v", changed)
	}
	back.Schema = ""
	if !reflect.DeepEqual(back, r) {
		t.Errorf("read back as %+v", back)
	}
}

func TestRecordOf(t *testing.T) {
	if _, err := issue.RecordOf(nil); !errors.Is(err, issue.ErrNoRecord) {
		t.Errorf("error %v, want issue.ErrNoRecord", err)
	}
	for text, why := range map[string]string{"": "damaged", "{": "damaged", `{"schema":7}`: "damaged", "{}": "another version", `{"schema":"meshpki/order/v2"}`: "another version"} {
		if _, err := issue.RecordOf(map[string]string{issue.FactOrder: text}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: error %v, want one with %q", text, err, why)
		}
	}
}

func TestRecordChanges(t *testing.T) {
	r := fullRecord()
	for name, change := range map[string]func(r *issue.Record){
		"dns": func(r *issue.Record) { r.DNS = append(r.DNS, "b.example") }, "renewAt": func(r *issue.Record) { r.RenewAt = 0 },
		"outputs": func(r *issue.Record) { r.Outputs = nil }, "foreignKey": func(r *issue.Record) { r.Foreign = false },
		"identity": func(r *issue.Record) { r.Kind = "" }, "namespace": func(r *issue.Record) { r.Namespace = "dev" },
	} {
		other := fullRecord()
		change(&other)
		for _, got := range [][]string{r.Changes(other), other.Changes(r)} {
			if !slices.Equal(got, []string{name}) {
				t.Errorf("changed %q, said to be %q", name, got)
			}
		}
	}
	other := fullRecord()
	other.Schema = "whatever"
	if got := r.Changes(other); len(got) > 0 {
		t.Errorf("the same order, said to differ in %q", got)
	}
}

func TestRecordOrders(t *testing.T) {
	for name, test := range map[string]struct {
		change   func(r *issue.Record)
		notAfter time.Time
		want     ca.Validity
	}{
		"the profile's life, cut if need be": {nil, time.Time{}, ca.Validity{NotAfter: start.Add(30 * 24 * time.Hour), UpTo: true}},
		"a life that was asked for":          {func(r *issue.Record) { r.Validity = "1h30m0s" }, time.Time{}, ca.Validity{NotAfter: start.Add(90 * time.Minute)}},
		"an end that was asked for":          {func(r *issue.Record) { r.Validity = "1h" }, start.Add(time.Minute), ca.Validity{NotAfter: start.Add(time.Minute)}},
	} {
		r := simple()
		if test.change != nil {
			test.change(&r)
		}
		o, leftOut, err := r.Order(ca.Profile{}, nil, start, test.notAfter)
		if err != nil || len(leftOut) > 0 {
			t.Errorf("%s: %v, left out %v", name, err, leftOut)
			continue
		}
		if o.Validity != test.want || o.Service != "payment" || o.Namespace != "prod" || o.KeyType != ca.ECP256 || o.Profile.Name() != "workload" ||
			o.Identity.SPIFFEID().String() != "spiffe://cluster.local/ns/prod/sa/payment" {
			t.Errorf("%s: ordered %+v", name, o)
		}
	}
}

func TestRecordErrors(t *testing.T) {
	for field, change := range map[string]func(r *issue.Record){
		"service":      func(r *issue.Record) { r.Service = "../x" },
		"namespace":    func(r *issue.Record) { r.Namespace = "" },
		"trust domain": func(r *issue.Record) { r.TrustDomain = "A/B" },
		"identity":     func(r *issue.Record) { r.Kind = "nomad" },
		"subject":      func(r *issue.Record) { r.Subject = "no such=thing" },
		"profile":      func(r *issue.Record) { r.Profile = "ca" },
		"key type":     func(r *issue.Record) { r.KeyType = "dsa" },
		"validity":     func(r *issue.Record) { r.Validity = "a while" },
		"spiffe-id":    func(r *issue.Record) { r.SPIFFEID = "x" },
	} {
		r := simple()
		change(&r)
		_, _, err := r.Order(ca.Profile{}, nil, start, time.Time{})
		if we, ok := errors.AsType[*issue.WishError](err); !ok || !strings.HasPrefix(we.Field, field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
	for _, validity := range []string{"0s", "-1h"} {
		r := simple()
		r.Validity = validity
		_, _, err := r.Order(ca.Profile{}, nil, start, time.Time{})
		if _, ok := errors.AsType[*ca.ValidityError](err); !ok {
			t.Errorf("validity %s: error %v", validity, err)
		}
	}
	r := simple()
	if _, _, err := r.Order(ca.Profile{}, nil, start, start); err == nil {
		t.Error("an end that is now was ordered")
	}
}

// FuzzRecord: whatever stands in a place's facts is an order or an error.
func FuzzRecord(f *testing.F) {
	for _, r := range []issue.Record{fullRecord(), simple()} {
		r.Schema = "meshpki/order/v1"
		data, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	for _, seed := range []string{"", "null", "[]", `{"schema":"meshpki/order/v1","validity":"9223372036854775807ns"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := issue.RecordOf(map[string]string{issue.FactOrder: text})
		if err != nil {
			return
		}
		if len(r.Changes(r)) > 0 {
			t.Error("a record differs from itself")
		}
		if o, _, err := r.Order(ca.Profile{}, nil, start, time.Time{}); err == nil && (len(o.Identity.Names()) == 0 || !o.Validity.NotAfter.After(start)) {
			t.Errorf("ordered %+v", o)
		}
	})
}
