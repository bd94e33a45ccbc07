package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// example is a manifest with every form that the reader takes.
const example = `apiVersion: meshpki/v1
trustDomain: cluster.local
clusterDomain: cluster.local
backend: local                       # or a reference, or a name under backends:
backends:
  mesh:
    vault: {mount: pki, role: mesh, mode: sign, address: https://vault:8200, auth: {approle: {roleId: …, secretIdFile: …}}}
checkpointTo: /var/log/meshpki/checkpoint    # a copy of the ledger's checkpoint, kept elsewhere
defaults:
  namespace: default
  validity: 30d
  renewAt: 66%                       # of the lifetime; deterministic jitter by name on top
services:
  - name: payment
    namespace: prod
    dns: [payment.example.com]
    ip: [10.0.0.5]
    allow: [account]                 # reserved: who may call it
    outputs:
      - to: /etc/payment/tls         # a directory, swapped as one set
        layout: tls
        owner: payment:payment
        mode: "0640"                 # the key's
      - to: k8s://prod/payment-tls
        layout: tls
    hook: [/usr/bin/systemctl, try-reload-or-restart, payment.service]   # argv, no shell; or a list of
    #  exec: [..] | signal: {pidFile, signal, user} | haproxy: {socket, cert} | http: {url, timeout} | rollout: {kind, namespace, name}
    confirm: {endpoint: "tls://127.0.0.1:8443", serverName: payment.prod, answers: 3, within: 10m}   # a URL is short for endpoint
`

func exampleManifest() *Manifest {
	return &Manifest{
		File: "meshpki.yaml", APIVersion: Version, TrustDomain: "cluster.local", ClusterDomain: "cluster.local", Backend: "local",
		Backends: map[string]Backend{"mesh": {Place: Place{7, 5}, Vault: &Vault{
			Mount: "pki", Role: "mesh", Mode: "sign", Address: "https://vault:8200",
			Auth: &Auth{Place: Place{7, 84}, AppRole: &AppRoleAuth{RoleID: "…", SecretIDFile: "…"}},
		}}},
		CheckpointTo: "/var/log/meshpki/checkpoint",
		Defaults:     Defaults{Namespace: "default", Validity: "30d", RenewAt: "66%"},
		Services: []Service{{
			Place: Place{14, 5}, Name: "payment", Namespace: "prod",
			DNS: []string{"payment.example.com"}, IP: []string{"10.0.0.5"}, Allow: []string{"account"},
			Outputs: []Output{
				{Place: Place{20, 9}, To: "/etc/payment/tls", Layout: Layouts{"tls"}, Owner: "payment:payment", Mode: "0640"},
				{Place: Place{24, 9}, To: "k8s://prod/payment-tls", Layout: Layouts{"tls"}},
			},
			Hook:    Hook{{Place: Place{26, 11}, Exec: []string{"/usr/bin/systemctl", "try-reload-or-restart", "payment.service"}}},
			Confirm: &Confirm{Place: Place{28, 14}, Endpoint: "tls://127.0.0.1:8443", ServerName: "payment.prod", Answers: 3, Within: "10m"},
		}},
	}
}

func TestParseReadsTheWholeExample(t *testing.T) {
	m, err := Parse("meshpki.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if want := exampleManifest(); !reflect.DeepEqual(m, want) {
		t.Errorf("read\n%+v\nwant\n%+v", m, want)
	}
}

func TestParseTakesOtherSpellings(t *testing.T) {
	want := exampleManifest()
	for name, src := range map[string]string{
		"CRLF":                 strings.ReplaceAll(example, "\n", "\r\n"),
		"byte order mark":      "\ufeff" + example,
		"document signs":       "# a comment\n---\n" + strings.TrimSuffix(example, "\n") + "\n...\n\n# the end\n",
		"no line feed at last": strings.TrimSuffix(example, "\n"),
		"indented as a whole":  "  " + strings.ReplaceAll(example, "\n", "\n  "),
		"services at the margin": strings.ReplaceAll(strings.Replace(example, "services:\n", "\"services\" : # all\n\n", 1),
			"\n  - name", "\n- name"),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "services at the margin" {
				src = outdent(src)
			}
			m, err := Parse("meshpki.yaml", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := withoutPlaces(m), withoutPlaces(want); !reflect.DeepEqual(got, want) {
				t.Errorf("read\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

// outdent moves the lines below the first item of services two columns to the left.
func outdent(src string) string {
	head, rest, _ := strings.Cut(src, "\n- name")
	return head + "\n- name" + strings.ReplaceAll(rest, "\n  ", "\n")
}

func TestParseReadsBracesAsItReadsBlocks(t *testing.T) {
	block, err := Parse("m", []byte("apiVersion: meshpki/v1\nservices:\n  - name: a\n    dns: [a.b]\n    hook:\n      - exec: [x]\n  - name: b\n    confirm: h:1\n"))
	if err != nil {
		t.Fatal(err)
	}
	braces, err := Parse("m", []byte("{\n\t\"apiVersion\": \"meshpki/v1\",\n\t\"services\": [\n\t\t{\"name\": \"a\", \"dns\": [\"a.b\"], \"hook\": [{\"exec\": [\"x\"]}]},\n\t\t{\"name\": \"b\", \"confirm\": \"h:1\"}\n\t]\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := withoutPlaces(braces), withoutPlaces(block); !reflect.DeepEqual(got, want) {
		t.Errorf("braces read as\n%+v\nblocks as\n%+v", got, want)
	}
}

// withoutPlaces forgets where things stood.
func withoutPlaces(m *Manifest) Manifest {
	out := *m
	out.File = ""
	out.Backends = nil
	out.Services = nil
	for _, s := range m.Services {
		s.Place = Place{}
		s.Outputs = append([]Output(nil), s.Outputs...)
		for i := range s.Outputs {
			s.Outputs[i].Place = Place{}
		}
		s.Hook = append(Hook(nil), s.Hook...)
		for i := range s.Hook {
			s.Hook[i].Place = Place{}
		}
		if s.Confirm != nil {
			c := *s.Confirm
			c.Place = Place{}
			s.Confirm = &c
		}
		out.Services = append(out.Services, s)
	}
	return out
}

func TestParseTakesTextAsWritten(t *testing.T) {
	m, err := Parse("m", []byte("apiVersion: meshpki/v1\nservices:\n- name: no\n  namespace: 1234\n  commonName: 1.10\n  outputs: [{to: 0x10, mode: 0640}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := m.Services[0]
	got := []string{s.Name, s.Namespace, s.CommonName, s.Outputs[0].To, s.Outputs[0].Mode}
	if want := []string{"no", "1234", "1.10", "0x10", "0640"}; !reflect.DeepEqual(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestParseFollowsAliases(t *testing.T) {
	m, err := Parse("m", []byte(`apiVersion: meshpki/v1
services:
  - name: a
    dns: &names [a.b, c.d]
    outputs: &usual
      - {to: /etc/a, owner: &who root}
  - &b
    name: b
    dns: *names
  - <<: [*b, {name: x, keyType: ed25519}]
    name: c
    outputs: [{to: /etc/c, owner: *who}]
  - name: d
    outputs: *usual
`))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a.b", "c.d"}
	want := []Service{
		{Place: Place{3, 5}, Name: "a", DNS: names, Outputs: []Output{{Place: Place{6, 9}, To: "/etc/a", Owner: "root"}}},
		{Place: Place{8, 5}, Name: "b", DNS: names},
		{Place: Place{10, 5}, Name: "c", DNS: names, KeyType: "ed25519", Outputs: []Output{{Place: Place{12, 15}, To: "/etc/c", Owner: "root"}}},
		{Place: Place{13, 5}, Name: "d", Outputs: []Output{{Place: Place{6, 9}, To: "/etc/a", Owner: "root"}}},
	}
	if !reflect.DeepEqual(m.Services, want) {
		t.Errorf("read\n%+v\nwant\n%+v", m.Services, want)
	}
}

func TestDefaultsOf(t *testing.T) {
	m, err := Parse("m", []byte("apiVersion: meshpki/v1\nservices:\n- {name: a, outputs: [{to: x}, {to: y, layout: [pem, tls]}]}\n- {name: a, namespace: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.NamespaceOf(&m.Services[0]) + " " + m.NamespaceOf(&m.Services[1]); got != "default b" {
		t.Errorf("namespaces %q", got)
	}
	if got := m.LayoutsOf(&m.Services[0].Outputs[0]); !reflect.DeepEqual(got, Layouts{"tls"}) {
		t.Errorf("layouts %q, want tls", got)
	}
	if got := m.LayoutsOf(&m.Services[0].Outputs[1]); !reflect.DeepEqual(got, Layouts{"pem", "tls"}) {
		t.Errorf("layouts %q, want pem and tls", got)
	}
	m.Defaults = Defaults{Namespace: "prod", Layout: Layouts{"jks"}}
	if got := m.NamespaceOf(&m.Services[0]); got != "prod" {
		t.Errorf("namespace %q, want that of the defaults", got)
	}
	if got := m.LayoutsOf(&m.Services[0].Outputs[0]); !reflect.DeepEqual(got, Layouts{"jks"}) {
		t.Errorf("layouts %q, want those of the defaults", got)
	}
}

func TestWrong(t *testing.T) {
	m := &Manifest{File: "meshpki.yaml"}
	got := m.Wrong(Place{12, 5}, "services[0].outputs[0].layout", "no such layout").Error()
	if want := "meshpki.yaml:12:5: services[0].outputs[0].layout: no such layout"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", []byte(example))
	if m, err := Load(good); err != nil || m.File != good || len(m.Services) != 1 {
		t.Fatalf("Load gave %+v, %v", m, err)
	}
	missing := filepath.Join(dir, "missing.yaml")
	emptyFile := write("empty.yaml", []byte(" \n\n"))
	huge := write("huge.yaml", []byte(strings.Repeat("# comment\n", pemfile.MaxSize/10+1)))
	for _, c := range []struct {
		path, want string
		cause      error
	}{
		{missing, missing + ": there is no such file", fs.ErrNotExist},
		{emptyFile, emptyFile + ": empty: a manifest has at least the line apiVersion: meshpki/v1", nil},
		{huge, huge + ": larger than 16 MiB: a manifest is at most that", pemfile.ErrTooLarge},
	} {
		m, err := Load(c.path)
		e, ok := errors.AsType[*Error](err)
		if m != nil || !ok {
			t.Errorf("Load gave %v, %v: an *Error is expected", m, err)
			continue
		}
		if e.Error() != c.want {
			t.Errorf("error\n%s\nwant\n%s", e, c.want)
		}
		if read := c.cause == nil; read != (e.Err == nil) {
			t.Errorf("%s: Err is %v", c.path, e.Err)
		}
		if c.cause != nil && !errors.Is(err, c.cause) {
			t.Errorf("%v does not wrap %v", err, c.cause)
		}
	}
	_, err := Load(dir) // what is said of a directory differs between systems
	if e, ok := errors.AsType[*Error](err); !ok || e.Err == nil || !strings.HasPrefix(e.Error(), dir+": cannot be read: ") {
		t.Errorf("a directory gave %v", err)
	}
	if _, err := Parse("m", make([]byte, pemfile.MaxSize+1)); !errors.Is(err, pemfile.ErrTooLarge) {
		t.Errorf("Parse of more than 16 MiB gave %v", err)
	}
}
