package command

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
)

// why says of each part of a certificate in the making where it comes from.
type why struct {
	i     *issued
	parts []ui.IssuedPart
}

func (w *why) add(part, value, reason, citation string) {
	if value != "" {
		w.parts = append(w.parts, ui.IssuedPart{Part: part, Value: value, Why: reason, Citation: citation})
	}
}

// certificateKeys are the keys of a Certificate's spec, by those of a service.
var certificateKeys = map[string]string{
	"dns": "dnsNames", "ip": "ipAddresses", "uri": "uris", "email": "emailAddresses", "commonName": "commonName", "validity": "duration",
	"renewAt": "renewBefore", "keyType": "privateKey", "backend": "issuerRef", "profile": "usages",
}

// asked is how the order says something: a flag, or a key of a service in a file.
func (w *why) asked(flag, key string) string {
	j := w.i.j
	switch {
	case j.at == "":
		return "--" + flag
	case !j.list.Certificates:
		return fmt.Sprintf("%s of the service at %s", key, j.at)
	case key == "subject":
		key = "subject or literalSubject"
	case key == "noSubject":
		return "neither commonName nor subject in the Certificate at " + j.at
	default:
		key = cmp.Or(certificateKeys[key], key)
	}
	return fmt.Sprintf("%s of the Certificate at %s", key, j.at)
}

// given tells whether a service of a file says something itself, or leaves it to the
// file's defaults.
func (w *why) given(flag, key string, own func(s *config.Service) string) string {
	j := w.i.j
	if j.at == "" || own(&j.list.Services[j.index]) != "" {
		return w.asked(flag, key)
	}
	return fmt.Sprintf("%s of defaults in %s", key, j.list.File)
}

// own is what the profile is, and where it is written.
func (w *why) own() string {
	p := w.i.j.profile
	if at := p.Where(); at != "" {
		return fmt.Sprintf("profile %s (%s)", p.Name(), at)
	}
	return "built-in profile " + p.Name()
}

// partsOf explains a certificate that was previewed.
func (i *issued) partsOf() []ui.IssuedPart {
	w := &why{i: i}
	w.names()
	w.subject()
	w.usages()
	w.times()
	w.rest()
	w.foretold()
	return w.parts
}

// foretold is what an authority elsewhere decides: it knows better.
func (w *why) foretold() {
	rows := map[string]string{issue.PartSubject: "subject", issue.PartUsage: "key usage", issue.PartEKU: "purposes", issue.PartBegin: "from", issue.PartEnd: "until",
		issue.PartChain: "issuer"}
	for _, t := range w.i.told {
		name := cmp.Or(rows[t.Part], t.Part)
		at := slices.IndexFunc(w.parts, func(p ui.IssuedPart) bool { return p.Part == name })
		if at < 0 {
			w.add(name, t.Value, t.Why, t.Citation)
			continue
		}
		p := &w.parts[at]
		p.Value, p.Why, p.Citation = cmp.Or(t.Value, p.Value), t.Why, cmp.Or(t.Citation, p.Citation)
	}
}

func (w *why) names() {
	leaf, r := w.i.leaf(), w.i.record
	for _, u := range leaf.URIs {
		reason := w.asked("uri", "uri")
		switch {
		case r.SPIFFEID == u.String():
			reason = w.asked("spiffe-id", "spiffeId")
		case !slices.Contains(r.URI, u.String()):
			reason = fmt.Sprintf("how %s names service %s of namespace %s in trust domain %s", meshOf(r.Kind), r.Service, r.Namespace, r.TrustDomain)
		}
		w.add("URI", u.String(), reason, "X509-SVID, Section 2")
	}
	for _, n := range leaf.DNSNames {
		reason := fmt.Sprintf("how a cluster of domain %s knows service %s of namespace %s; --no-default-dns leaves it out", r.Cluster, r.Service, r.Namespace)
		switch {
		case slices.Contains(r.DNS, n):
			reason = w.asked("dns", "dns")
		case r.Kind == issue.Linkerd:
			reason = "how Linkerd names a service account: the identity itself"
		case n == r.Service:
			reason = "the short name, which namespace default has, and others where --short-names asks for it"
		}
		w.add("DNS name", n, reason, "RFC 5280, Section 4.2.1.6")
	}
	for _, n := range w.i.leftOut {
		if n.Type == ca.DNS {
			reason := "the CA's constraints do not permit it"
			if err := w.i.j.profile.Judge(n); err != nil {
				reason = "the rules of " + w.own() + " do not allow it"
			}
			w.add("left out", n.Value, reason, "RFC 5280, Section 4.2.1.10")
		}
	}
	for _, ip := range leaf.IPAddresses {
		w.add("IP address", ip.String(), w.asked("ip", "ip"), "RFC 5280, Section 4.2.1.6")
	}
	for _, e := range leaf.EmailAddresses {
		w.add("email", e, w.asked("email", "email"), "RFC 5280, Section 4.2.1.6")
	}
}

// meshOf is whose convention of names it is.
func meshOf(k issue.Kind) string {
	if k == issue.Default {
		return "SPIFFE, as Istio and SPIRE write it,"
	}
	return strings.ToUpper(string(k[:1])) + string(k[1:])
}

func (w *why) subject() {
	leaf, r := w.i.leaf(), w.i.record
	reason := "the service's name; --no-subject leaves it out"
	switch {
	case r.Subject != "":
		reason = w.asked("subject", "subject")
	case r.CommonName != "":
		reason = w.asked("common-name", "commonName")
	case r.NoSubject:
		reason = w.asked("no-subject", "noSubject") + ": the names are critical instead"
	case len(leaf.Subject.Names) == 0:
		reason = "left out, for the CA's constraints or the profile would refuse it as a DNS name: the names are critical instead"
	}
	if own := w.i.j.profile.Own(); own != nil && own.Subject != "" && len(leaf.Subject.Names) > 0 {
		reason += ", and " + own.Subject + " of " + w.own()
	}
	w.add("subject", cmp.Or(leaf.Subject.String(), "none"), reason, "RFC 5280, Section 4.1.2.6")
}

func (w *why) usages() {
	leaf := w.i.leaf()
	key, purposes := ca.UsageNames(leaf.KeyUsage, leaf.ExtKeyUsage)
	w.add("key usage", strings.Join(key, ", "), w.own()+"; a leaf's key signs no certificates", "RFC 5280, Section 4.2.1.3")
	w.add("purposes", strings.Join(purposes, ", "), w.own(), "RFC 5280, Section 4.2.1.12")
	w.add("a CA", "no", "a leaf, said aloud for those who look for it", "X509-SVID, Section 4.1")
	for _, p := range leaf.Policies {
		w.add("policy", p.String(), w.own(), "RFC 5280, Section 4.2.1.4")
	}
}

func (w *why) times() {
	leaf, r, p := w.i.leaf(), w.i.record, w.i.j.profile
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	w.add("from", at(leaf.NotBefore), "before now, for clocks that are behind, and not before its issuer", "RFC 5280, Section 4.1.2.5")
	reason := w.own() + " has certificates live " + ca.Lifetime(p.Validity())
	switch {
	case !w.i.j.notAfter.IsZero():
		reason = "--not-after"
	case r.Validity != "":
		life, _ := time.ParseDuration(r.Validity) // the order has been made of it
		reason = w.given("validity", "validity", func(s *config.Service) string { return s.Validity }) + ": " + ca.Lifetime(life)
		if j := w.i.j; j.list != nil && j.list.Certificates && life == 90*24*time.Hour {
			reason += ", which is also what cert-manager takes where there is none"
		}
	}
	if leaf.NotAfter.Before(w.i.asked.Add(-time.Second)) {
		reason += ", cut to the end of its issuer"
	}
	w.add("until", at(leaf.NotAfter), reason, "RFC 5280, Section 4.1.2.5")
	due := "66 % of its life, unless renewAt says otherwise"
	if r.RenewAt > 0 {
		due = fmt.Sprintf("%s: %d %% of its life", w.given("renew-at", "renewAt", func(s *config.Service) string { return s.RenewAt }), r.RenewAt)
	}
	w.add("due", at(w.i.due), due+"; a little later by its name, so that not all are due at once", "")
}

func (w *why) rest() {
	leaf, j := w.i.leaf(), w.i.j
	kt := string(ca.KeyTypeOf(leaf.PublicKey))
	reason := w.own() + " allows it"
	switch {
	case w.i.record.Foreign:
		reason = "the key of the request, --csr"
	case j.at == "" && j.c.IsSet("key-type"):
		reason = "--key-type"
	case j.at != "" && j.list.Services[j.index].KeyType+j.list.Defaults.KeyType != "":
		reason = w.given("key-type", "keyType", func(s *config.Service) string { return s.KeyType })
	case kt == string(j.profile.KeyType()):
		reason = "what " + w.own() + " has made where nothing else is asked"
	}
	w.add("key", kt, reason, "RFC 5280, Section 4.1.2.7")
	urls := "urls of the manifest"
	if own := j.profile.Own(); own != nil && own.URLs != nil {
		urls = "urls of " + w.own()
	}
	w.add("CRL", strings.Join(leaf.CRLDistributionPoints, ", "), urls, "RFC 5280, Section 4.2.1.13")
	w.add("OCSP", strings.Join(leaf.OCSPServer, ", "), urls, "RFC 5280, Section 4.2.2.1")
	w.add("issuer's", strings.Join(leaf.IssuingCertificateURL, ", "), urls, "RFC 5280, Section 4.2.2.1")
	backend := "the directory's issuing authority: no backend is named"
	switch {
	case j.record.Backend == "":
	case j.c.IsSet("backend"):
		backend = "--backend " + j.record.Backend
	case j.list != nil && j.list.Certificates:
		backend = fmt.Sprintf("%s, which is mapped to %s", j.list.Services[j.index].Issuer, j.record.Backend)
	case j.at != "":
		backend = w.given("backend", "backend", func(s *config.Service) string { return s.Backend }) + ": " + j.record.Backend
	default:
		backend = "backend " + j.record.Backend + " of the manifest"
	}
	w.add("issuer", leaf.Issuer.String(), backend, "RFC 5280, Section 4.1.2.4")
	w.add("serial", "drawn when it is signed", "at random, so that nobody can foresee it", "RFC 5280, Section 4.1.2.2")
}
