package vault

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// What is shown beforehand is by the issuer and the role as they are, and nothing is
// signed for it.
func TestPreview(t *testing.T) {
	for _, c := range []struct {
		name    string
		setting string
		value   any
		life    time.Duration
		upTo    bool
		part    string
		says    string
	}{
		{name: "good", life: time.Hour, part: "role", says: "gives what is ordered"},
		{name: "no basic constraints", setting: "basic_constraints_valid_for_non_ca", value: false, life: time.Hour, part: "role", says: "WILL NOT DO: basic_constraints_valid_for_non_ca=false"},
		{name: "other usage", setting: "key_usage", value: []any{"KeyAgreement"}, life: time.Hour, part: "role", says: "vault patch pki/roles/mesh key_usage=DigitalSignature"},
		{name: "more usage", setting: "key_usage", value: []any{"DigitalSignature", "KeyAgreement"}, life: time.Hour, part: issue.PartUsage, says: "adds to it: DigitalSignature, KeyAgreement"},
		{name: "trimmed", setting: "max_ttl", value: json.Number("3600"), life: 24 * time.Hour, part: "role", says: "max_ttl=1h trims a life of 24h0m0s"},
		{name: "cut", setting: "max_ttl", value: json.Number("3600"), life: 24 * time.Hour, upTo: true, part: issue.PartEnd, says: "max_ttl=1h"},
		{name: "names", setting: "allowed_uri_sans", value: []any{"spiffe://other/*"}, life: time.Hour, part: "role", says: "allowed_uri_sans does not cover spiffe://cluster.local"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, clock)
			f.role["allow_any_name"] = true
			if c.setting != "" {
				f.role[c.setting] = c.value
			}
			o := order(t, c.life)
			o.Validity.UpTo = c.upTo
			leaf, told, err := issue.Preview(t.Context(), f.open(t, backends.Vault{}), o)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range told {
				found = found || f.Part == c.part && strings.Contains(f.Why, c.says)
			}
			if !found {
				t.Errorf("it foretells %v", told)
			}
			end := o.Validity.NotAfter
			if c.upTo {
				end = start.Add(time.Hour)
			}
			if leaf == nil || !leaf.NotAfter.Equal(end) || leaf.Issuer.CommonName != "Vault Root one" {
				t.Errorf("it shows %+v", leaf)
			}
			if n := f.count("PUT pki/sign/mesh"); n != 0 {
				t.Errorf("%d were signed", n)
			}
		})
	}
}

// What cannot be read is said, and is no reason to show nothing; what Vault would
// refuse whatever its role says is refused.
func TestPreviewOfLittle(t *testing.T) {
	f := newFake(t, clock)
	status := 0
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if status == 0 || status != 503 && !strings.Contains(r.URL.Path, "/roles/") {
			return false
		}
		f.fail(w, status)
		return true
	}
	role := func(a *Authority) string {
		t.Helper()
		leaf, told, err := issue.Preview(t.Context(), a, order(t, time.Hour))
		if leaf == nil || err != nil {
			t.Fatal(err)
		}
		for _, f := range told {
			if f.Part == "role" {
				return f.Why
			}
		}
		return ""
	}
	status = 403
	if why := role(f.open(t, backends.Vault{})); !strings.Contains(why, "cannot be read") || !strings.Contains(why, "let its policies read pki/roles/mesh") {
		t.Errorf("a role that may not be read: %s", why)
	}
	status = 404
	if why := role(f.open(t, backends.Vault{})); !strings.Contains(why, "WILL NOT DO: there is none") {
		t.Errorf("a role that is not there: %s", why)
	}
	status = 503
	a := f.open(t, backends.Vault{})
	a.client.patience = 0
	if _, _, err := issue.Preview(t.Context(), a, order(t, time.Hour)); !errors.Is(err, ca.ErrAway) {
		t.Errorf("while it is away: %v", err)
	}
	status = 0
	_, _, err := issue.Preview(t.Context(), f.open(t, backends.Vault{}), order(t, 100*24*time.Hour))
	if v, ok := errors.AsType[*ca.ValidityError](err); !ok || v.Issuer != "Vault Root one" {
		t.Errorf("a life beyond the issuer's: %v", err)
	}
	_, _, err = issue.Preview(t.Context(), f.open(t, backends.Vault{Mount: "pki", Role: "mesh", Mode: modeVerbatim}), order(t, time.Hour))
	if r, ok := ca.IsRefusal(err); !ok || r.Citation != "X509-SVID, Section 4.1" {
		t.Errorf("a SPIFFE ID by sign-verbatim: %v", err)
	}
}
