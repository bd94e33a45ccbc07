package config

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	const head = "apiVersion: meshpki/v1\n"
	for _, s := range []string{
		example, head, "", "{apiVersion: meshpki/v1}", "---\n" + head + "...\n", "\ufeff" + head, strings.ReplaceAll(example, "\n", "\r\n"),
		head + "services:\n- &a {name: a}\n- {<<: *a, name: b}\n", head + "services:\n  - name: a\n    dns: &d [a.b, \"*.c.d\"]\n  - name: b\n    dns: *d\n",
		head + "backends:\n  a: {acme: {directory: 'https://x/dir', contact: [a@b.c], eab: {keyId: a, hmacKeyFile: b}}}\n  b: {awspca: {arn: 'arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/1'}}\n",
		head + "services:\n  - name: a\n    hook:\n      - signal: {pidFile: /run/x.pid, signal: HUP, user: root}\n      - haproxy: {socket: /run/s, cert: x.pem}\n      - http: {url: 'http://[::1]:80/', timeout: 3s}\n      - rollout: {kind: Deployment, name: a}\n",
		head + "services:\n  - name: a\n    ip: [fd00::5]\n    email: [a@b.c]\n    uri: ['kuma://x']\n    spiffeId: spiffe://a/b\n    confirm: \"smtp://a\"\n",
		"a: &", "a: *", "&a: b", "? a", "a: |\n b", "a: \"\\u\"", "a: !!binary x", "- - - a", "a: [b, {c: d}]", "<<: *a", "a: '", "a:\n b:\n  - c\n -", "%TAG ! x", "a: \"\\x", "a:\t\"\t", "{a, b: , c}", "[a]: b", "a: b: c", "a: &a &b c", "!!str a: b", "{? a : b}", "{<<: {<<: *x}}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse("m.yaml", data)
		if err == nil {
			checkManifest(t, m)
			return
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || m != nil {
			t.Fatalf("%v, and a manifest: %v", err, m != nil)
		}
		text := e.Error() + e.Hint
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }) {
			t.Errorf("an error with raw bytes in it: %q", text)
		}
		lines := strings.Split(string(data), "\n")
		if e.Line < 0 || e.Line > len(lines) || (e.Line == 0) != (e.Column == 0) {
			t.Fatalf("%v: the manifest has %d lines", e, len(lines))
		}
		if e.Line > 0 && e.Column > utf8.RuneCountInString(lines[e.Line-1])+3 {
			t.Errorf("%v: line %q is shorter", e, lines[e.Line-1])
		}
		if e.Problem == "" || len(text) > 2000 {
			t.Errorf("an error that says too little or too much: %v", e)
		}
	})
}

// checkManifest holds what every manifest that was read has to hold.
func checkManifest(t *testing.T, m *Manifest) {
	if m.APIVersion != Version || m.File != "m.yaml" {
		t.Errorf("apiVersion %q in file %q", m.APIVersion, m.File)
	}
	names := map[string]bool{}
	for i := range m.Services {
		s := &m.Services[i]
		name := m.NamespaceOf(s) + "/" + s.Name
		if names[name] || s.Name == "" || len(s.Name) > 63 || s.Line < 1 || s.Column < 1 {
			t.Errorf("service %+v", s)
		}
		names[name] = true
		for _, o := range s.Outputs {
			if o.To == "" || o.Line < 1 {
				t.Errorf("output %+v", o)
			}
		}
		for _, step := range s.Hook {
			if step.Exec != nil && len(step.Exec) == 0 {
				t.Errorf("step %+v", step)
			}
		}
	}
}
