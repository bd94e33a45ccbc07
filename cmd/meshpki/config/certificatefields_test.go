package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// honoured are specs, and what is the service's of each.
var honoured = map[string]func(s *Service){
	"commonName: a.b":                                       func(s *Service) { s.CommonName, s.NoSubject, s.DNS = "a.b", false, nil },
	"dnsNames: [a.b, c.d]":                                  func(s *Service) { s.DNS = []string{"a.b", "c.d"} },
	"ipAddresses: [10.0.0.5]":                               func(s *Service) { s.IP, s.DNS = []string{"10.0.0.5"}, nil },
	"uris: [spiffe://td/a]":                                 func(s *Service) { s.URI, s.DNS = []string{"spiffe://td/a"}, nil },
	"emailAddresses: [a@b.c]":                               func(s *Service) { s.Email, s.DNS = []string{"a@b.c"}, nil },
	"literalSubject: CN=a,O=b":                              func(s *Service) { s.Subject, s.NoSubject, s.DNS = "CN=a,O=b", false, nil },
	"dnsNames: [a]\n  duration: 48h":                        func(s *Service) { s.Validity = "48h0m0s" },
	"dnsNames: [a]\n  duration: 2160h\n  renewBefore: 360h": func(s *Service) { s.RenewAt = "83%" },
	"dnsNames: [a]\n  renewBeforePercentage: 25":            func(s *Service) { s.RenewAt = "75%" },
	"dnsNames: [a]\n  privateKey: {algorithm: RSA}":         func(s *Service) { s.KeyType = "rsa-2048" },
	"dnsNames: [a]\n  privateKey: {algorithm: ECDSA, size: 384, encoding: PKCS8, rotationPolicy: Always}": func(s *Service) { s.KeyType = "ec-p384" },
	"dnsNames: [a]\n  privateKey: {algorithm: Ed25519}":                                                   func(s *Service) { s.KeyType = "ed25519" },
	"dnsNames: [a]\n  privateKey: {size: 4096}":                                                           func(s *Service) { s.KeyType = "rsa-4096" },
	"dnsNames: [a]\n  usages: [server auth]":                                                              func(s *Service) { s.Profile = "server" },
	"dnsNames: [a]\n  usages: [client auth, signing]":                                                     func(s *Service) { s.Profile = "client" },
	"dnsNames: [a]\n  usages: [digital signature, key encipherment, client auth, server auth]":            func(s *Service) { s.Profile = "peer" },
	"dnsNames: [a]\n  usages: [signing, s/mime]":                                                          func(s *Service) { s.Profile = "usages:digital signature,email protection" },
	"dnsNames: [a]\n  isCA: false\n  revisionHistoryLimit: 3\n  encodeUsagesInRequest: true":              func(s *Service) {},
	"dnsNames: [a]\n  subject: {organizations: [\"A, B\", C], countries: [DE], serialNumber: \"1\"}\n  commonName: x": func(s *Service) {
		s.Subject, s.NoSubject = `CN=x,SERIALNUMBER=1,O=A\, B,O=C,C=DE`, false
	},
	"dnsNames: [a]\n  subject: {organizationalUnits: [a], localities: [b], provinces: [c], streetAddresses: [d], postalCodes: [e]}": func(s *Service) {
		s.Subject, s.NoSubject = "OU=a,POSTALCODE=e,STREET=d,L=b,ST=c", false
	},
	"dnsNames: [a]\n  secretTemplate: {labels: {team: a}, annotations: {example.com/b: \"c d\"}}": func(s *Service) {
		s.Labels, s.Annotations = map[string]string{"team": "a"}, map[string]string{"example.com/b": "c d"}
	},
	"dnsNames: [a]\n  additionalOutputFormats: [{type: CombinedPEM}, {type: DER}]": func(s *Service) { s.Layouts = Layouts{"tls:der:combined"} },
	"dnsNames: [a]\n  privateKey: {encoding: PKCS1}":                               func(s *Service) { s.Layouts = Layouts{"tls:sec1"} },
	"dnsNames: [a]\n  privateKey: {encoding: PKCS1, size: 2048}": func(s *Service) {
		s.KeyType, s.Layouts = "rsa-2048", Layouts{"tls:pkcs1"}
	},
	"dnsNames: [a]\n  privateKey: {encoding: PKCS1, algorithm: Ed25519}":          func(s *Service) { s.KeyType = "ed25519" },
	"dnsNames: [a]\n  privateKey: {rotationPolicy: Never}":                        func(s *Service) { s.ReuseKey = true },
	"dnsNames: [a]\n  renewal: {policy: RenewBefore}":                             func(*Service) {},
	"dnsNames: [a]\n  keystores: {jks: {create: false}, pkcs12: {create: false}}": func(*Service) {},
	"dnsNames: [a]\n  keystores: {jks: {create: true, alias: certificate, passwordSecretRef: {name: s, key: k}}}": func(s *Service) {
		s.Layouts, s.Passwords = Layouts{"tls", "jks"}, []string{"s/k"}
	},
	"dnsNames: [a]\n  keystores: {pkcs12: {create: true, profile: LegacyDES, passwordSecretRef: {name: s, key: k}}}": func(s *Service) {
		s.Layouts, s.Passwords = Layouts{"tls", "pkcs12:legacy-des"}, []string{"s/k"}
	},
	"dnsNames: [a]\n  keystores: {jks: {create: true, passwordSecretRef: {name: s}}, pkcs12: {create: true, passwordSecretRef: {name: s}}}": func(s *Service) {
		s.Layouts, s.Passwords = Layouts{"tls", "jks", "pkcs12"}, []string{"s/"}
	},
}

// notHonoured are specs, and what is said of each.
var notHonoured = map[string]string{
	"otherNames: []":                                        "7:15: spec.otherNames: is not honoured",
	"signatureAlgorithm: SHA256WithRSA":                     "spec.signatureAlgorithm: is not honoured",
	"nameConstraints: {critical: true}":                     "spec.nameConstraints: is not honoured",
	"isCA: true":                                            "spec.isCA: a CA is no service",
	"usages: [cert sign]":                                   "spec.usages[0]: usage \"cert sign\" belongs to CAs",
	"usages: [serverAuth]":                                  "is none of digital signature",
	"privateKey: {algorithm: ECDSA, size: 521}":             "spec.privateKey: size 521",
	"privateKey: {algorithm: RSA, size: 1024}":              "spec.privateKey: size 1024",
	"renewBefore: 2160h":                                    "spec.renewBefore: 2160h before its end is before its beginning",
	"renewBefore: 1h\n  renewBeforePercentage: 5":           "spec.renewBeforePercentage: excludes renewBefore",
	"literalSubject: CN=a\n  commonName: a":                 "spec.literalSubject: excludes subject and commonName",
	"dnsName: a":                                            "spec: unknown key \"dnsName\"",
	"duration: 90":                                          "spec.duration: ",
	"secretTemplate: {labels: {cert-manager.io/x: b}}":      "spec.secretTemplate.labels: \"cert-manager.io/x\": keys below cert-manager.io",
	"secretTemplate: {labels: {a: \"b c\"}}":                "spec.secretTemplate: \"b c\" is no value of the label a",
	"additionalOutputFormats: [{type: PEM}]":                "spec.additionalOutputFormats[0].type: \"PEM\" is not",
	"keystores: {jks: {create: true}}":                      "spec.keystores: passwordSecretRef is missing",
	"keystores: {jks: {create: true, password: geheim}}":    "spec.keystores.jks.password: is not honoured: a password does not belong",
	"keystores: {pkcs12: {create: true, password: geheim}}": "spec.keystores.pkcs12.password: is not honoured: a password does not belong",
	"keystores: {jks: {create: true, alias: own, passwordSecretRef: {name: s}}}":                                           "spec.keystores.jks.alias: \"own\" is not certificate",
	"keystores: {pkcs12: {create: true, profile: LegacyRC2, passwordSecretRef: {name: s}}}":                                "spec.keystores: pkcs12.profile LegacyRC2",
	"keystores: {jks: {create: true, passwordSecretRef: {name: s}}, pkcs12: {create: true, passwordSecretRef: {name: t}}}": "spec.keystores: two passwords",
	"renewal: {policy: Disabled}":                                     "spec.renewal: policy Disabled",
	"renewal: {windows: [{cron: \"0 2 * * *\", windowDuration: 1h}]}": "spec.renewal.windows: is not honoured",
}

// TestEveryFieldOfACertificate walks the fields that cert-manager's CRD has: each stands
// in a spec that is honoured, or is refused by its name. The list is the version's that
// the integration tests pin, and they hold it against the CRD itself.
func TestEveryFieldOfACertificate(t *testing.T) {
	told := map[string]bool{}
	issuer := strings.Replace(head, "{name: mesh}", "{name: mesh, kind: ClusterIssuer, group: cert-manager.io}", 1)
	m, err := orders(t, issuer+"  dnsNames: [a]\n")
	if err != nil || m.Services[0].Name != "a-tls" || *m.Services[0].Issuer != (IssuerRef{Place{6, 14}, "mesh", "ClusterIssuer", "cert-manager.io"}) {
		t.Errorf("%+v: %v", m, err)
	}
	mentions(t, issuer, func(path string) { told[path] = true })
	for spec := range honoured {
		mentions(t, head+"  "+spec, func(path string) { told[path] = true })
	}
	for _, want := range notHonoured {
		// What stands below a field that is not honoured is not either.
		refused, _, whole := strings.Cut(want, ": is not honoured")
		refused = refused[strings.LastIndex(refused, " ")+1:]
		for _, field := range certManagerFields(t) {
			told[field] = told[field] || whole && strings.HasPrefix(field+".", refused+".")
		}
	}
	for _, field := range certManagerFields(t) {
		if !told[field] {
			t.Errorf("nothing is said of %s", field)
		}
	}
}

func certManagerFields(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("testdata/cert-manager-v*.txt")
	if err != nil || len(found) != 1 {
		t.Fatalf("%q: %v", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// mentions tells of each path of keys in a document, without the numbers of lists.
func mentions(t *testing.T, text string, of func(path string)) {
	t.Helper()
	n, err := newReader().tree.read(piece{line: 1, text: text})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		for _, item := range n.items {
			walk(item, path)
		}
		for _, e := range n.entries {
			at := strings.TrimPrefix(path+"."+e.key, ".")
			of(at)
			walk(e.value, at)
		}
	}
	walk(n, "")
}
