package vault

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/backends"
)

// doubt is something that a role would do to what is wanted.
type doubt struct {
	state        backends.State
	says, remedy string
}

// role holds the role against everything that will be asked of it.
func (x *examination) role(ctx context.Context) {
	a := x.a
	if a.settings.Role == "" {
		return
	}
	got, err := a.client.read(ctx, a.path("roles", a.settings.Role))
	switch {
	case isStatus(err, http.StatusForbidden):
		x.say("role", backends.StateUnknown, "let its policies read "+a.path("roles", a.settings.Role), "the role cannot be read, so what it does to a certificate shows only in the first one")
		return
	case err != nil:
		x.fail("role", backends.StateUnknown, err)
		return
	case len(got.data) == 0:
		x.say("role", backends.StateFailed, "meshpki backend check "+a.String()+" --suggest prints one that would do", "there is no role %s", a.settings.Role)
		return
	}
	r := readRole(got)
	doubts := map[doubt][]string{}
	var order []doubt
	for _, w := range x.wants {
		for _, d := range a.predict(r, w, x.keeps) {
			if _, seen := doubts[d]; !seen {
				order = append(order, d)
			}
			doubts[d] = append(doubts[d], w.Name)
		}
	}
	if len(order) == 0 {
		x.say("role", backends.StateOK, "", "role %s gives what is ordered%s", a.settings.Role, map[bool]string{true: ", for each of " + fmt.Sprint(len(x.wants)) + " services"}[len(x.wants) > 1])
	}
	for _, d := range order {
		x.say("role", d.state, d.remedy, "%s (%s)", d.says, some(doubts[d]))
	}
}

// some names a few of many.
func some(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}

// predict tells what a role would refuse or alter of one certificate, without signing it.
func (a *Authority) predict(r *role, w backends.Want, keeps time.Duration) (found []doubt) {
	say := func(state backends.State, remedy, format string, args ...any) {
		found = append(found, doubt{state, fmt.Sprintf(format, args...), remedy})
	}
	if a.settings.Mode == modeSign {
		a.predictNames(r, w, say)
		a.predictShape(r, w, say)
	}
	if a.settings.Mode == modeVerbatim && !w.Identity.SPIFFEID().IsZero() {
		say(backends.StateFailed, "mode: sign", "sign-verbatim leaves out what an X509-SVID has to have (X509-SVID, Section 4.1)")
	}
	switch {
	case r.maxTTL > 0 && w.Validity > r.maxTTL:
		say(backends.StateFailed, a.patch("max_ttl="+seconds(w.Validity)), "max_ttl=%s trims a life of %s", span(r.maxTTL), days(w.Validity))
	case keeps > 0 && w.Validity > keeps:
		say(backends.StateFailed, "vault secrets tune -max-lease-ttl="+seconds(w.Validity)+" "+a.settings.Mount, "the mount's greatest life of %s trims one of %s", days(keeps), days(w.Validity))
	}
	return found
}

type sayer func(state backends.State, remedy, format string, args ...any)

func (a *Authority) predictNames(r *role, w backends.Want, say sayer) {
	id := w.Identity
	if why := r.covers(w.KeyType); why != "" {
		say(backends.StateFailed, a.patch("key_type=any", "key_bits=0"), "%s, and one of type %s is asked for", why, string(w.KeyType))
	}
	if !r.csrSANs {
		say(backends.StateWarning, a.patch("use_csr_sans=true"), "use_csr_sans=false drops names that it does not take for such, without a word")
	}
	cn := id.CommonName()
	switch {
	case cn == "" && r.requireCN:
		say(backends.StateFailed, a.patch("require_cn=false"), "require_cn=true refuses a request without a common name")
	case cn != "" && !r.permitsDNS(cn):
		say(backends.StateFailed, a.patch("allow_any_name=true")+", or noSubject: true in the manifest", "the common name is outside allowed_domains")
	}
	var outside []string
	for _, d := range id.DNS() {
		if !r.permitsDNS(d) {
			outside = append(outside, d)
		}
	}
	if len(outside) > 0 {
		say(backends.StateFailed, a.patch("allow_any_name=true")+", or an allowed_domains that has them", "outside allowed_domains: %s", some(outside))
	}
	for _, u := range id.URIs() {
		if !r.permitsURI(u.String()) {
			say(backends.StateFailed, a.patch("allowed_uri_sans='"+strings.Join(append(slices.Clone(r.allowedURIs), subtree(u.Scheme, u.Host)), ",")+"'"), "allowed_uri_sans does not cover %s://%s", u.Scheme, u.Host)
		}
	}
	if len(id.IPs()) > 0 && !r.allowIP {
		say(backends.StateFailed, a.patch("allow_ip_sans=true"), "allow_ip_sans=false refuses its addresses")
	}
	if len(id.Emails()) > 0 && !r.allowAnyName {
		say(backends.StateWarning, a.patch("allow_any_name=true"), "its email addresses may be outside allowed_domains")
	}
	if len(r.subject) > 0 {
		remedy := make([]string, len(r.subject))
		for i, s := range r.subject {
			remedy[i] = s + "="
		}
		say(backends.StateFailed, a.patch(remedy...), "the role puts its own %s into the subject", strings.Join(r.subject, ", "))
	}
	for _, rdn := range id.Subject() {
		for _, part := range rdn {
			if !part.Type.Equal(oidCommonName) {
				say(backends.StateFailed, "leave everything but the common name out of the subject", "the role drops what is in a subject besides the common name")
				return
			}
		}
	}
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// subtree is the pattern for every URI of a host.
func subtree(scheme, host string) string { return scheme + "://" + host + "/*" }

func (a *Authority) predictShape(r *role, w backends.Want, say sayer) {
	if !w.Identity.SPIFFEID().IsZero() && !r.basicConstraints {
		say(backends.StateFailed, a.patch("basic_constraints_valid_for_non_ca=true"), "basic_constraints_valid_for_non_ca=false leaves out what an X509-SVID has to have (X509-SVID, Section 4.1)")
	}
	if want := w.Profile.KeyUsage(w.KeyType); !r.permitsUsage(want) {
		say(backends.StateFailed, a.patch("key_usage="+strings.Join(usageNames(want), ",")), "key_usage lacks what profile %s needs", w.Profile.Name())
	}
	eku := w.Profile.ExtKeyUsage()
	server, client := slices.Contains(eku, x509.ExtKeyUsageServerAuth), slices.Contains(eku, x509.ExtKeyUsageClientAuth)
	if server != r.server || client != r.client {
		say(backends.StateFailed, a.patch(fmt.Sprintf("server_flag=%t", server), fmt.Sprintf("client_flag=%t", client)),
			"server_flag=%t and client_flag=%t are not the uses of profile %s", r.server, r.client, w.Profile.Name())
	}
}

// urls tries the places that certificates say to ask whether they are revoked.
func (x *examination) urls(ctx context.Context) {
	got, err := x.a.client.read(ctx, x.a.path("config", "urls"))
	if err != nil {
		x.say("revocation", backends.StateUnknown, "let its policies read "+x.a.path("config/urls"), "where certificates say that revocation is asked cannot be read")
		return
	}
	lists, ocsp := got.list("crl_distribution_points"), got.list("ocsp_servers")
	if len(lists)+len(ocsp) == 0 {
		x.say("revocation", backends.StateOK, "", "certificates name no CRL and no OCSP server: short lives are the answer")
		return
	}
	for _, url := range lists {
		x.fetch(ctx, "crl", url, true)
	}
	for _, url := range ocsp {
		x.fetch(ctx, "ocsp", url, false)
	}
}

// fetch tries one URL; a CRL has to be there, an OCSP server only to answer.
func (x *examination) fetch(ctx context.Context, name, url string, whole bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	remedy := "vault write " + x.a.path("config/urls") + " … names one that answers"
	url = clean(url)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		x.say(name, backends.StateFailed, remedy, "%s is no URL", url)
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		x.say(name, backends.StateFailed, remedy, "%s does not answer: %s", url, reach(err))
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	switch {
	case !whole:
		x.say(name, backends.StateOK, "", "%s answers", url)
	case response.StatusCode != http.StatusOK || len(body) == 0:
		x.say(name, backends.StateFailed, remedy, "%s answers %d, without a CRL", url, response.StatusCode)
	default:
		list, err := x509.ParseRevocationList(pemOrDER(body))
		switch {
		case err != nil:
			x.say(name, backends.StateFailed, remedy, "%s is no CRL", url)
		case list.NextUpdate.Before(x.a.now()):
			x.say(name, backends.StateFailed, "vault read "+x.a.path("crl/rotate"), "the CRL at %s has ended", url)
		default:
			x.say(name, backends.StateOK, "", "%s is a CRL until %s", url, list.NextUpdate.UTC().Format(time.DateOnly))
		}
	}
}

// pemOrDER takes the armour off, where there is one.
func pemOrDER(data []byte) []byte {
	if block, _ := pem.Decode(data); block != nil {
		return block.Bytes
	}
	return data
}
