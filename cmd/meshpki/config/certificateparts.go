package config

import (
	"slices"
	"strings"
)

// What a Certificate says of its Secret beside the certificate itself.

type secretTemplate struct {
	Labels      map[string]string `yaml:"labels" is:"label key" doc:"Labels of the Secret."`
	Annotations map[string]string `yaml:"annotations" is:"label key" doc:"Annotations of the Secret."`
}

type outputFormat struct {
	Type string `yaml:"type" need:"yes" of:"DER CombinedPEM"`
}

type keystoresDoc struct {
	JKS    *jksDoc    `yaml:"jks"`
	PKCS12 *pkcs12Doc `yaml:"pkcs12"`
}

type jksDoc struct {
	Create      bool       `yaml:"create" need:"yes" like:"true"`
	Alias       string     `yaml:"alias" of:"certificate"`
	PasswordRef *secretKey `yaml:"passwordSecretRef" like:"{name: keystore-password, key: password}"`
	Password    ignored    `yaml:"password" refuse:"a password does not belong in a file such as this: passwordSecretRef, and --keystore-password-file FILE"`
}

type pkcs12Doc struct {
	Create      bool       `yaml:"create" need:"yes" like:"true"`
	Profile     string     `yaml:"profile" of:"LegacyRC2 LegacyDES Modern2023 Modern2026"`
	PasswordRef *secretKey `yaml:"passwordSecretRef" like:"{name: keystore-password, key: password}"`
	Password    ignored    `yaml:"password" refuse:"a password does not belong in a file such as this: passwordSecretRef, and --keystore-password-file FILE"`
}

type secretKey struct {
	Name string `yaml:"name" need:"yes" like:"keystore-password"`
	Key  string `yaml:"key" like:"password"`
}

type renewalDoc struct {
	Policy  string  `yaml:"policy" of:"RenewBefore Disabled"`
	Windows ignored `yaml:"windows" refuse:"windows go with a service of the manifest, which has windows of its own; without them it is renewed at any time"`
}

// checkParts asks whether all of it can be had here.
func (s *certificateSpec) checkParts(c cursor) *Error {
	if s.Template != nil {
		if problem := checkLabels(s.Template.Labels); problem != "" {
			return c.wrong("secretTemplate", "%s", problem)
		}
	}
	switch k := s.Keystores; {
	case s.Renewal != nil && s.Renewal.Policy == "Disabled":
		return c.wrong("renewal", "policy Disabled: what is issued here is under care, and renewed; leave it out")
	case k == nil:
		return nil
	case k.PKCS12 != nil && k.PKCS12.Profile == "LegacyRC2":
		return c.wrong("keystores", "pkcs12.profile LegacyRC2: OpenSSL 3 and Java 20 do not read it; LegacyDES, Modern2023 or Modern2026 is expected")
	case len(k.refs()) > 1:
		return c.wrong("keystores", "two passwords: one Secret and key for both keystores is expected")
	case len(k.refs()) == 0 && (k.JKS != nil && k.JKS.Create || k.PKCS12 != nil && k.PKCS12.Create):
		return c.wrong("keystores", "passwordSecretRef is missing")
	}
	return nil
}

// refs are the passwords of the keystores that are to be made, as a cluster calls them.
func (k *keystoresDoc) refs() []string {
	var refs []string
	add := func(create bool, ref *secretKey) {
		if create && ref != nil && !slices.Contains(refs, ref.Name+"/"+ref.Key) {
			refs = append(refs, ref.Name+"/"+ref.Key)
		}
	}
	if k != nil && k.JKS != nil {
		add(k.JKS.Create, k.JKS.PasswordRef)
	}
	if k != nil && k.PKCS12 != nil {
		add(k.PKCS12.Create, k.PKCS12.PasswordRef)
	}
	return refs
}

// layouts are the files of the Secret; none where they are the ordinary ones.
func (s *certificateSpec) layouts() Layouts {
	own := "tls"
	if s.PrivateKey != nil && s.PrivateKey.Encoding == "PKCS1" {
		switch s.PrivateKey.Algorithm {
		case "RSA":
			own += ":pkcs1"
		case "Ed25519": // has PKCS#8 alone, in cert-manager too
		default:
			if kt, _ := s.keyType(); strings.HasPrefix(kt, "rsa") {
				own += ":pkcs1"
			} else {
				own += ":sec1"
			}
		}
	}
	for _, format := range []struct{ typ, option string }{{"DER", ":der"}, {"CombinedPEM", ":combined"}} {
		if slices.Contains(s.Formats, outputFormat{format.typ}) {
			own += format.option
		}
	}
	all := Layouts{own}
	if k := s.Keystores; k != nil && k.JKS != nil && k.JKS.Create {
		all = append(all, "jks")
	}
	if k := s.Keystores; k != nil && k.PKCS12 != nil && k.PKCS12.Create {
		all = append(all, map[string]string{"LegacyDES": "pkcs12:legacy-des", "Modern2026": "pkcs12:modern-2026"}[k.PKCS12.Profile])
		if all[len(all)-1] == "" {
			all[len(all)-1] = "pkcs12"
		}
	}
	if len(all) == 1 && own == "tls" {
		return nil
	}
	return all
}
