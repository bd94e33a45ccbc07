package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// head is a Certificate that wants nothing but its spec's other keys.
const head = "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: a, namespace: prod}\nspec:\n  secretName: a-tls\n  issuerRef: {name: mesh}\n"

func orders(t *testing.T, text string) (*Manifest, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadOrders(name)
}

// Every field of the spec, as a service.
func TestCertificate(t *testing.T) {
	for spec, want := range honoured {
		m, err := orders(t, head+"  "+spec+"\nstatus: {conditions: []}\n")
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		s := Service{Place: m.Services[0].Place, Name: "a-tls", Namespace: "prod", Identity: "plain", NoDNS: true, Validity: "2160h0m0s", NoSubject: true,
			Profile: "workload", DNS: []string{"a"}, Issuer: &IssuerRef{Place: Place{6, 14}, Name: "mesh"}}
		if strings.HasPrefix(spec, "dnsNames: [a.b") {
			s.DNS = nil
		}
		want(&s)
		if !reflect.DeepEqual(m.Services[0], s) {
			t.Errorf("%s:\n%+v\nwant\n%+v", spec, m.Services[0], s)
		}
	}
}

// What is not honoured is refused by its name, at its place.
func TestCertificateRefuses(t *testing.T) {
	for spec, want := range notHonoured {
		_, err := orders(t, head+"  "+spec+"\n  ipAddresses: [10.0.0.1]\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
	for text, want := range map[string]string{
		strings.Replace(head, "/v1", "/v1alpha2", 1) + "  dnsNames: [a]": `"cert-manager.io/v1alpha2" is not cert-manager.io/v1`,
		head: "no name at all",
		strings.Replace(head, "  secretName: a-tls\n", "", 1) + "  dnsNames: [a]":             "secretName is missing",
		strings.Replace(head, "a-tls", "a.tls", 1) + "  dnsNames: [a]":                        "spec.secretName: ",
		strings.Replace(head, "{name: mesh}", "{group: a.b, name: c}", 1) + "  dnsNames: [a]": "spec.issuerRef: kind is missing",
		head + "  dnsNames: [a]\n---\n" + head + "  dnsNames: [b]\n":                          "prod/a-tls stands twice",
	} {
		if _, err := orders(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %s", text, err, want)
		}
	}
}

// Lists, several documents, other objects, and texts over several lines.
func TestCertificatesAsAClusterHasThem(t *testing.T) {
	item := func(i int) string {
		return fmt.Sprintf("- apiVersion: cert-manager.io/v1\n  kind: Certificate\n  metadata:\n    annotations:\n      last: |\n        {\"kind\": 1}\n        - x\n"+
			"    managedFields: [{a: b}]\n    name: c%[1]d\n  spec:\n    secretName: c%[1]d\n    dnsNames: [c%[1]d]\n    issuerRef: {name: mesh}\n", i)
	}
	text := "# first\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n---\napiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: le}\n" +
		"spec: {acme: {server: \"https://acme.example/dir\"}}\n---\n# nothing\n---\napiVersion: v1\nitems:\n"
	for i := range 300 {
		text += item(i)
	}
	text += "kind: List\nmetadata: {}\n---\n" + head + "  dnsNames: [z]\n"
	m, err := orders(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Services) != 301 || m.Services[299].DNS[0] != "c299" || m.Services[300].DNS[0] != "z" {
		t.Errorf("%d services", len(m.Services))
	}
	if strings.Join(m.Skipped, ", ") != "Namespace prod, ClusterIssuer le" || m.ACMEServers["ClusterIssuer/le"] != "https://acme.example/dir" {
		t.Errorf("skipped %q, servers %q", m.Skipped, m.ACMEServers)
	}
}

// The page has every field of the spec.
func TestCertificatePageNamesEveryField(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "cert-manager.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[certificateSpec](), reflect.TypeFor[privateKey](), reflect.TypeFor[x509Names](), reflect.TypeFor[IssuerRef]()} {
		for _, f := range newShape(typ).fields {
			if !strings.Contains(string(page), "`"+f.key+"`") {
				t.Errorf("docs/cert-manager.md does not name %s", f.key)
			}
		}
	}
}

func FuzzCertificates(f *testing.F) {
	f.Add(head + "  dnsNames: [a]\n")
	f.Add("kind: List\nitems:\n- kind: Certificate\n")
	f.Add("kind: a\n---\n...\n--- x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parse("c.yaml", []byte(text), true); err == nil && m.Certificates {
			for _, s := range m.Services {
				if s.Name == "" || s.Issuer == nil || s.Line == 0 {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}
