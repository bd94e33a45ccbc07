package command

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

// orders reads what is to be issued by a file: a manifest, whose settings are then
// those of this run, or cert-manager's Certificates, for which the directory's own
// manifest has them.
func (c *call) orders() (*config.Manifest, error) {
	m, err := config.LoadOrders(c.String("file"))
	if err != nil {
		return nil, err
	}
	if err := trusted(m); err != nil {
		return nil, err
	}
	if !m.Certificates {
		for _, flag := range []string{"out", "map-issuer"} {
			if c.IsSet(flag) {
				return nil, usagef("--%s goes with a file of Certificates: a manifest says it itself", flag)
			}
		}
		c.read = m // its urls are those that count
		return m, nil
	}
	own, err := c.manifest()
	if err != nil {
		return nil, err
	}
	m.Adopt(own)
	if len(m.Services) == 0 {
		return nil, usagef("%s has no Certificate in it, but %s", m.File, ui.List(m.Skipped, 5))
	}
	if len(m.Skipped) > 0 {
		c.notice("%s: no Certificates, and not looked at: %s", m.File, ui.Safe(ui.List(m.Skipped, 5)))
	}
	return m, c.mapIssuers(m)
}

// mapIssuers says of each Certificate which backend its issuer is, and where its
// Secret goes.
func (c *call) mapIssuers(m *config.Manifest) error {
	mapped := maps.Clone(m.Issuers)
	if mapped == nil {
		mapped = map[string]string{}
	}
	for _, pair := range c.values("map-issuer") {
		name, ref, ok := strings.Cut(pair, "=")
		if !ok || name == "" || ref == "" {
			return usagef("--map-issuer %q: an issuer and a backend are expected, such as letsencrypt-prod=local", pair)
		}
		mapped[name] = ref
	}
	base := c.values("out")
	if len(base) > 1 {
		return usagef("--out: Certificates go below one place")
	}
	used := map[string]bool{}
	var unmarked []string
	for i := range m.Services {
		s := &m.Services[i]
		ref, key := "", ""
		for _, k := range s.Issuer.Keys() {
			if ref == "" && mapped[k] != "" {
				ref, key = mapped[k], k
			}
		}
		used[key] = true
		if why := c.refuseIssuer(m, s, ref); why != nil {
			return why
		}
		s.Backend = ref
		if len(base) == 1 {
			s.Outputs = []config.Output{{Place: s.Place, To: secretPlace(base[0], m.NamespaceOf(s), s.Name), Layout: s.Layouts}}
		}
		switch marked := len(s.Labels)+len(s.Annotations) > 0; {
		case marked && len(s.Outputs) > 0 && strings.HasPrefix(s.Outputs[0].To, "k8s:"):
			s.Outputs[0].Labels, s.Outputs[0].Annotations = s.Labels, s.Annotations
		case marked:
			unmarked = append(unmarked, s.Name+"."+m.NamespaceOf(s))
		}
		if len(s.Passwords) > 0 && !c.hasKeystoreFile(m) {
			wrong := m.Wrong(s.Place, "spec.keystores", fmt.Sprintf("passwordSecretRef: the password is in the cluster, in the Secret %s", s.Passwords[0]))
			wrong.Hint = "--keystore-password-file FILE or MESHPKI_KEYSTORE_PASSWORD_FILE names the file that has it here; keystorePasswordFile in the manifest does so for good"
			return wrong
		}
	}
	if len(unmarked) > 0 {
		c.notice("secretTemplate of %s has no effect: a directory has no labels and annotations, --out k8s writes Secrets", ui.List(unmarked, 3))
	}
	for _, pair := range c.values("map-issuer") {
		if name, _, _ := strings.Cut(pair, "="); !used[name] {
			return usagef("--map-issuer: no Certificate in %s names the issuer %q", m.File, name)
		}
	}
	return nil
}

// hasKeystoreFile tells whether a file with the password of keystores is named.
func (c *call) hasKeystoreFile(m *config.Manifest) bool {
	return c.String(keystorePasswordFlag)+c.env.Getenv("MESHPKI_KEYSTORE_PASSWORD_FILE")+m.Defaults.KeystorePasswordFile != ""
}

// secretPlace is where what would be a Secret goes: k8s is the cluster, anything else
// a directory with one for each namespace and Secret.
func secretPlace(base, namespace, secret string) string {
	if base == "k8s" || base == "k8s:" || base == "k8s://" {
		return "k8s://" + namespace + "/" + secret
	}
	return filepath.Join(base, namespace, secret)
}

// refuseIssuer says why an issuer cannot be what a Certificate needs, at its place.
func (c *call) refuseIssuer(m *config.Manifest, s *config.Service, ref string) error {
	server := ""
	for _, k := range s.Issuer.Keys() {
		server = cmp.Or(server, m.ACMEServers[k])
	}
	public := publicACME(server)
	if public == "" && ref == "" {
		if public = publicByName(s.Issuer.Name); public != "" {
			public = "by its name " + public
		}
	}
	resolved := resolveBackend(m, ref)
	if rest, ok := strings.CutPrefix(resolved, "acme:"); ok {
		public = publicACME(rest)
	} else if entry, ok := c.entries()[ref]; ok {
		public = publicACME(strings.TrimPrefix(entry.Ref, "acme:"))
	} else if ref != "" {
		public = ""
	}
	profile, err := m.Profile(s.Profile)
	if err != nil {
		return m.Wrong(s.Place, "spec.usages", err.Error())
	}
	_, purposes := ca.UsageNames(0, profile.ExtKeyUsage())
	var problem string
	switch {
	case public != "" && slices.Contains(purposes, "client auth"):
		problem = fmt.Sprintf("%s is %s, a public ACME CA, which cannot serve mutual TLS: it issues no certificates for clients "+
			"(Let's Encrypt since 2026-07-08), none for names inside a cluster (.svc, .cluster.local) and no SPIFFE IDs, and whoever trusts it trusts "+
			"everybody else's certificates too", s.Issuer, public)
	case ref == "":
		problem = fmt.Sprintf("%s is mapped to no backend here", s.Issuer)
	default:
		return nil
	}
	wrong := m.Wrong(s.Issuer.Place, "spec.issuerRef", problem)
	wrong.Hint = fmt.Sprintf("--map-issuer %s=local has your own authority sign; issuers in the manifest does so for good", s.Issuer.Name)
	return wrong
}

// publicCAs are the hosts of ACME servers that anybody may ask, and whose they are.
var publicCAs = map[string]string{
	"api.letsencrypt.org": "Let's Encrypt", "acme.zerossl.com": "ZeroSSL", "pki.goog": "Google Trust Services",
	"api.buypass.com": "Buypass", "acme.ssl.com": "SSL.com", "acme.sectigo.com": "Sectigo", "acme.digicert.com": "DigiCert",
}

// publicACME names the public CA that an ACME directory belongs to; "" where it is none known.
func publicACME(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return ""
	}
	for _, host := range slices.Sorted(maps.Keys(publicCAs)) {
		if h := strings.ToLower(u.Hostname()); h == host || strings.HasSuffix(h, "."+host) || strings.HasSuffix(h, "-"+host) {
			return publicCAs[host]
		}
	}
	return ""
}

// publicByName guesses it of an issuer that nothing else is known of.
func publicByName(name string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "-", ""))
	for _, known := range []struct{ part, ca string }{{"letsencrypt", "Let's Encrypt"}, {"zerossl", "ZeroSSL"}, {"buypass", "Buypass"}} {
		if strings.Contains(name, known.part) {
			return known.ca
		}
	}
	return ""
}
