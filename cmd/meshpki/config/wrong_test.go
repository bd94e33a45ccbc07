package config

import (
	"errors"
	"strings"
	"testing"
)

// wrong is a manifest that is refused: its lines behind apiVersion, which stands
// on line 1 of m.yaml, and what is said about it, word for word.
type wrong struct{ body, problem, hint string }

func (w wrong) test(t *testing.T, src string) {
	t.Helper()
	m, err := Parse("m.yaml", []byte(src))
	e, ok := errors.AsType[*Error](err)
	switch {
	case m != nil || !ok:
		t.Errorf("%q\ngave %v, %v: an *Error is expected", src, m, err)
	case e.Err != nil:
		t.Errorf("%q\nErr is %v, for a manifest that was read", src, e.Err)
	case e.Error() != w.problem || e.Hint != w.hint:
		t.Errorf("%q\nproblem %s\nwant    %s\nhint %s\nwant %s", src, e, w.problem, e.Hint, w.hint)
	}
}

func run(t *testing.T, cases []wrong) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.body, func(t *testing.T) { c.test(t, "apiVersion: meshpki/v1\n"+c.body) })
	}
}

func TestParseRefusesWhatIsNoManifest(t *testing.T) {
	const nothing = "m.yaml: empty: a manifest has at least the line apiVersion: meshpki/v1"
	for _, c := range []wrong{
		{"", nothing, ""},
		{"\n \n", nothing, ""},
		{"# nothing but this\n---\n...\n", nothing, ""},
		{"{}", nothing, ""},
		{"- name: a\n", "m.yaml:1:1: the manifest is a list: keys such as apiVersion and services are expected", ""},
		{"[{}]\n", "m.yaml:1:1: the manifest is a list: keys such as apiVersion and services are expected", ""},
		{"payment\n", "m.yaml:1:1: one text where keys such as apiVersion and services are expected", ""},
		{"# a\n\ntrustDomain: a.b\n", "m.yaml:3:1: apiVersion is missing", "for example: apiVersion: meshpki/v1"},
		{"apiVersion: meshpki/v2\n", `m.yaml:1:13: apiVersion: "meshpki/v2" is not meshpki/v1`, ""},
		{"apiVersion: cert-manager.io/v1\nkind: Certificate\n", `m.yaml:1:13: apiVersion: "cert-manager.io/v1" is not meshpki/v1`, ""},
		{" apiVersion: meshpki/v1\nbackend: local\n", "m.yaml:2:1: this line stands further left than the first key", ""},
		{"%YAML 1.2\n---\napiVersion: meshpki/v1\n", "m.yaml:1:1: a YAML directive: a manifest needs none", ""},
		{"--- {apiVersion: meshpki/v1}\n", "m.yaml:1:1: the manifest must begin on the line after ---", ""},
		{"\ufeffapiVersion: \xff\n", "m.yaml:1:13: byte 0xff is not UTF-8", ""},
	} {
		t.Run(c.body, func(t *testing.T) { c.test(t, c.body) })
	}
}

func TestParseRefusesWhatIsNotYAML(t *testing.T) {
	const block = "a text over several lines (| or >): everything in a manifest fits one line"
	const lines = "a text over several lines: everything in a manifest fits one line"
	const right = "if the next line is a key of its own, it stands too far to the right"
	run(t, []wrong{
		{"---\nbackend: local\n", "m.yaml:2:1: a second YAML document: a manifest is one", ""},
		{"...\nbackend: local\n", "m.yaml:3:1: a second YAML document: a manifest is one", ""},
		{"services: [\n", "m.yaml:2:11: not YAML: sequence end token ']' not found", ""},
		{"backend: \"local\n", "m.yaml:2:10: not YAML: could not find end character of double-quoted text", ""},
		{"services:\n  - name: a\n - name: b\n", "m.yaml:4:2: not YAML: value is not allowed in this context", ""},
		{"services:\n  - name: a\n   dns: [x]\n", "m.yaml:4:4: not YAML: value is not allowed in this context", ""},
		{"services:\n  - name: a\n      dns: [x]\n", "m.yaml:3:9: " + lines, right},
		{"backend: 'lo\n  cal'\n", "m.yaml:2:10: " + lines, ""},
		{"backend: |\n  local\n", "m.yaml:2:1: " + block, ""},
		{"backend: >- # folded\n  local\n", "m.yaml:2:1: " + block, ""},
		{"\tbackend: local\n", "m.yaml:2:1: a tab in the indentation: YAML takes spaces only", ""},
		{"  \tbackend: local\n", "m.yaml:2:3: a tab in the indentation: YAML takes spaces only", ""},
		{"backend: !!str local\n", `m.yaml:2:10: a YAML tag, "!!str": a manifest needs none; what must be a text stands in quotes`, ""},
		{"? backend\n: local\n", `m.yaml:2:1: "?" has no meaning in a manifest`, ""},
		{"backend: *other\n", "m.yaml:2:10: no anchor &other stands before this alias", ""},
		{"defaults: &d {namespace: *d}\n", "m.yaml:2:26: no anchor &d stands before this alias", ""},
		{"backend: &a &b local\n", "m.yaml:2:13: not YAML: two anchors for one value", ""},
		{"defaults: {<<: prod}\n", `m.yaml:2:12: "<<" takes keys, or a list of such, from elsewhere: an alias such as *usual is expected`, ""},
		{"defaults:\n  backend:\n  local\n", "m.yaml:4:3: not YAML: a value stands further right than its key", ""},
		{"services:\n  - name: a\n    dns:\n      -\n      a.b\n", "m.yaml:6:7: not YAML: a value stands further right than its dash", ""},
		{"defaults: {[a]: b}\n", "m.yaml:2:15: not YAML: found an invalid key for this map", ""},
		{"backend: a\xffb\n", "m.yaml:2:11: byte 0xff is not UTF-8", ""},
		{"trustDomain: é\rx\n", "m.yaml:2:15: character U+000D does not belong in a manifest", ""},
		{"trustDomain: a\x00b\n", "m.yaml:2:15: character U+0000 does not belong in a manifest", ""},
		{"checkpointTo: \"a\\u0007\"\n", `m.yaml:2:15: checkpointTo: "a\a" has a control character in it`, ""},
		{"checkpointTo: \"a\\nb\"\n", `m.yaml:2:15: checkpointTo: "a\nb" has a control character in it`, ""},
	})
}

func TestParseRefusesKeys(t *testing.T) {
	run(t, []wrong{
		{"trust_domain: a\n", `m.yaml:2:1: unknown key "trust_domain"`, "did you mean trustDomain?"},
		{"TrustDomain: a\n", `m.yaml:2:1: unknown key "TrustDomain"`, "did you mean trustDomain?"},
		{"kind: Certificate\n", `m.yaml:2:1: unknown key "kind"`, "known here: apiVersion, trustDomain, clusterDomain, backend, backends, issuers, checkpointTo, urls, profiles, defaults, services, publish"},
		{"defaults: {renewat: 66%}\n", `m.yaml:2:12: defaults: unknown key "renewat"`, "did you mean renewAt?"},
		{"services:\n  - name: a\n    dsn: [a.b]\n", `m.yaml:4:5: services[0]: unknown key "dsn"`, "did you mean dns?"},
		{"services:\n- name: a\n- name: b\n  outputs:\n  - to: x\n    \"\\u202eedom\": 1\n", `m.yaml:7:5: services[1].outputs[0]: unknown key "\u202eedom"`, "known here: to, layout, owner, group, mode, swap, labels, annotations, keystorePasswordFile"},
		{"services:\n  - name: a\n    outputs: [{to: x, path: y}]\n", `m.yaml:4:23: services[0].outputs[0]: unknown key "path"`, "known here: to, layout, owner, group, mode, swap, labels, annotations, keystorePasswordFile"},
		{"apiVersion: meshpki/v1\n", `m.yaml:2:1: key "apiVersion" stands twice: here and at line 1`, ""},
		{"services:\n- name: a\nbackend: local\nservices:\n- name: b\n", `m.yaml:5:1: key "services" stands twice: here and at line 2`, ""},
		{"services:\n  - name: a\n    dns: [a.b]\n    \"dns\": [c.d]\n", `m.yaml:5:5: key "dns" stands twice: here and at line 4`, ""},
		{"defaults: {validity: 1d, validity: 2d}\n", `m.yaml:2:26: key "validity" stands twice: here and at line 2`, ""},
		{"services:\n", "m.yaml:2:1: services: no value: give it one, or leave the key out", ""},
		{"services:\n\nbackend: local\n", "m.yaml:2:1: services: no value: give it one, or leave the key out", ""},
		{"services:\n  -\n", "m.yaml:3:3: services[0]: no value: give it one, or leave the key out", ""},
		{"services:\n  - name: a\n    validity: ~\n", "m.yaml:4:5: services[0].validity: no value: give it one, or leave the key out", ""},
		{"services:\n  - name: a\n    dns: [a.b, null]\n", "m.yaml:4:16: services[0].dns[1]: no value: give it one, or leave the key out", ""},
		{"checkpointTo: \"\"\n", "m.yaml:2:15: checkpointTo: an empty text: give it a value, or leave the key out", ""},
		{"services:\n  - dns: [a.b]\n", "m.yaml:3:5: services[0]: name is missing", "for example: name: payment"},
		{"services:\n  - payment\n", "m.yaml:3:5: services[0]: one text where keys are expected",
			"known here: name, namespace, identity, datacenter, trustDomain, spiffeId, dns, ip, email, uri, shortNames, noDefaultDns, profile, validity, renewAt, keyType, reuseKey, commonName, subject, noSubject, backend, allow, outputs, windows, hook, confirm"},
		{"services:\n  a: {name: b}\n", "m.yaml:3:3: services: keys where a list is expected", ""},
		{"services: payment\n", "m.yaml:2:11: services: one text where a list is expected", ""},
		{"services:\n  - name: [a]\n", "m.yaml:3:11: services[0].name: a list where one text is expected", "for example: name: payment"},
		{"services:\n  - name: a\n    dns: a.b\n", "m.yaml:4:10: services[0].dns: one text where a list is expected", "for example: dns: [payment.example.com]"},
		{"services:\n  - name: a\n    outputs: {to: x}\n", "m.yaml:4:14: services[0].outputs: keys where a list is expected", ""},
		{"backends: [a]\n", "m.yaml:2:11: backends: a list where keys are expected", "known here: names of your choice"},
	})
}

func TestParseRefusesServices(t *testing.T) {
	const name = ` is not a name: lower-case letters, digits and '-' only, 1 to 63 of them, a letter or digit at both ends (RFC 1123, Section 2.1)`
	long := strings.Repeat("a", 300)
	run(t, []wrong{
		{"services:\n  - name: ../../etc\n", `m.yaml:3:11: services[0].name: "../../etc"` + name, ""},
		{"services:\n  - name: a/b\n", `m.yaml:3:11: services[0].name: "a/b"` + name, ""},
		{"services:\n  - name: Payment\n", `m.yaml:3:11: services[0].name: "Payment"` + name, ""},
		{"services:\n  - name: é\n", `m.yaml:3:11: services[0].name: "é"` + name, ""},
		{"services:\n  - name: a-\n", `m.yaml:3:11: services[0].name: "a-"` + name, ""},
		{"services:\n  - name: " + long + "\n", `m.yaml:3:11: services[0].name: "` + long[:60] + `"…` + name, ""},
		{"services:\n  - name: a\n    namespace: b.c\n", `m.yaml:4:16: services[0].namespace: "b.c"` + name, ""},
		{"services:\n  - name: a_b\n", `m.yaml:3:11: services[0].name: "a_b" has a '_' in it, which only the identities kuma and consul allow`, ""},
		{"services:\n  - {name: a, namespace: b_c, identity: istio}\n", `m.yaml:3:26: services[0].namespace: "b_c" has a '_' in it, which only the identities kuma and consul allow`, ""},
		{"services:\n  - {name: a, identity: isto}\n", `m.yaml:3:25: services[0].identity: "isto" is not istio, dapr, kuma, consul, linkerd or plain`, "did you mean istio?"},
		{"defaults: {keyType: rsa-1024}\n", `m.yaml:2:21: defaults.keyType: "rsa-1024" is not ec-p256, ec-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096`, ""},
		{"services:\n  - name: a\n  - name: b\n  - namespace: default\n    name: a\n", "m.yaml:5:5: services[2]: default/a stands twice: here and at line 3", ""},
		{"services: [{name: a}, {name: b, namespace: prod}, {name: b}]\ndefaults:\n  namespace: prod\n", "m.yaml:2:51: services[2]: prod/b stands twice: here and at line 2", ""},
		{"services:\n  - name: a\n    renewAt: 0.66\n", `m.yaml:4:14: services[0].renewAt: "0.66" is no part of a lifetime: 1% to 99% is expected, such as 66%`, ""},
		{"services:\n  - name: a\n    validity: 0s\n", `m.yaml:4:15: services[0].validity: "0s" is no time at all: a duration such as 30d is expected`, ""},
		{"services:\n  - name: a\n    validity: -3d\n", `m.yaml:4:15: services[0].validity: "-3d" is negative: a duration such as 90d or 1y is expected`, ""},
		{"services:\n  - name: a\n    validity: 30\n", `m.yaml:4:15: services[0].validity: "30" has no unit: s, m (minutes), h, d, w or y, as in 90d`, ""},
		{"services:\n  - name: a\n    validity: 300y\n", `m.yaml:4:15: services[0].validity: "300y" is longer than 292 years`, ""},
		{"services:\n  - name: a\n    outputs:\n      - layout: tls\n", "m.yaml:5:9: services[0].outputs[0]: to is missing", "for example: to: /etc/payment/tls"},
		{"services:\n  - name: a\n    outputs:\n      - to: ''\n", "m.yaml:5:13: services[0].outputs[0].to: an empty text: give it a value, or leave the key out", ""},
		{"services:\n  - name: a\n    outputs: [{to: x, layout: []}]\n", "m.yaml:4:31: services[0].outputs[0].layout: an empty list: name a layout, or leave the key out", ""},
		{"services:\n  - name: a\n    outputs: [{to: x, mode: 0644}]\n", `m.yaml:4:29: services[0].outputs[0].mode: "0644" opens the private key to everybody on the machine: "0600", or "0640" for a group, is right`, ""},
		{"services:\n  - name: a\n    outputs: [{to: x, mode: rw}]\n", `m.yaml:4:29: services[0].outputs[0].mode: "rw" is no file mode: three octal digits behind a 0 are expected, such as "0640"`, ""},
		{"services:\n  - name: a\n    outputs: [{to: x, owner: 'a:b:c'}]\n", `m.yaml:4:30: services[0].outputs[0].owner: "a:b:c" is no owner: a user, or user:group, by name or number, is expected`, ""},
		{"services:\n  - name: a\n    outputs: [{to: x, owner: 'a:b', group: c}]\n", `m.yaml:4:44: services[0].outputs[0].group: the owner "a:b" names a group already`, ""},
		{"services:\n  - name: a\n    outputs: [{to: 'k8s://a/b', mode: '0600'}]\n", "m.yaml:4:39: services[0].outputs[0].mode: a Kubernetes Secret has no mode", ""},
		{"services:\n  - name: a\n    outputs: [{to: 'k8s://a/b', swap: files}]\n", "m.yaml:4:39: services[0].outputs[0].swap: a Kubernetes Secret has no swap", ""},
		{"services:\n  - name: a\n    outputs:\n      - to: /etc/x\n      - to: file:/etc/x/\n        layout: [pem, tls]\n", `m.yaml:6:9: services[0].outputs[1]: layout "tls" goes to "file:/etc/x/" twice: here and at line 5`, ""},
		{"services:\n  - name: a\n    outputs:\n      - {to: x, layout: jks}\n      - {to: x}\ndefaults: {layout: [pem, jks]}\n", `m.yaml:6:9: services[0].outputs[1]: layout "jks" goes to "x" twice: here and at line 5`, ""},
	})
}

func TestParseRefusesHooks(t *testing.T) {
	const words = "for example: hook: [/usr/bin/systemctl, try-reload-or-restart, payment.service]"
	const service = "services:\n  - name: a\n    "
	run(t, []wrong{
		{service + "hook: systemctl reload nginx\n", "m.yaml:4:11: services[0].hook: one text where the words of a command are expected: no shell takes them apart", words},
		{service + "hook: [systemctl reload nginx]\n", `m.yaml:4:11: services[0].hook[0].exec: "systemctl reload nginx" is one word with spaces in it: each word of a command is an item of its own`, "for example: [systemctl, reload, nginx]"},
		{service + "hook: []\n", "m.yaml:4:11: services[0].hook: an empty hook: give it the words of a command, or leave hook out", ""},
		{service + "hook: [{exec: []}]\n", "m.yaml:4:19: services[0].hook[0].exec: a command without a word: its program is expected first", ""},
		{service + "hook: [bin/reload]\n", `m.yaml:4:11: services[0].hook[0].exec: "bin/reload" is neither an absolute path nor a bare name`, ""},
		{service + "hook: [reload, \"\"]\n", "m.yaml:4:20: services[0].hook[0].exec[1]: an empty text: give it a value, or leave the key out", ""},
		{service + "hook: [a, [b]]\n", "m.yaml:4:12: services[0].hook[0]: one text where keys are expected", "known here: exec, signal, systemctl, haproxy, http, rollout, timeout, env, after"},
		{service + "hook: [{}]\n", "m.yaml:4:12: services[0].hook[0]: exactly one of exec, signal, systemctl, haproxy, http or rollout is expected, not 0", ""},
		{service + "hook:\n      - exec: [a]\n        http: {url: http://x}\n", "m.yaml:5:9: services[0].hook[0]: exactly one of exec, signal, systemctl, haproxy, http or rollout is expected, not 2", ""},
		{service + "hook: [{timeout: 3s}]\n", "m.yaml:4:12: services[0].hook[0]: exactly one of exec, signal, systemctl, haproxy, http or rollout is expected, not 0", ""},
		{service + "hook: [{http: {url: 'http://x'}, env: [LANG]}]\n", "m.yaml:4:43: services[0].hook[0].env: only exec and systemctl start a program that could be given an environment", ""},
		{service + "hook: [{exec: [a], env: [A-B]}]\n", `m.yaml:4:30: services[0].hook[0].env[0]: "A-B" is no name of a variable: letters, digits and '_' only, a letter or '_' first`, ""},
		{service + "hook: [{http: {url: 'http://x', timeout: 3s}, timeout: 4s}]\n", "m.yaml:4:60: services[0].hook[0].timeout: http has a timeout of its own here: one of the two is expected", ""},
		{service + "hook: [{systemctl: {unit: --now}}]\n", `m.yaml:4:31: services[0].hook[0].systemctl.unit: "--now" is no name of a unit: one such as payment.service is expected`, ""},
		{service + "hook: [{systemctl: {unit: a.service, action: stop}}]\n", `m.yaml:4:50: services[0].hook[0].systemctl.action: "stop" is not try-reload-or-restart, reload-or-restart, reload, try-restart or restart`, ""},
		{service + "outputs: [{to: /x}]\n    hook: [{exec: [a], after: ['file:/x/', /y]}]\n", `m.yaml:5:12: services[0].hook[0].after[1]: "/y" is none of the places under outputs`, ""},
		{service + "hook: [{signal: {pidFile: nginx.pid}}]\n", `m.yaml:4:31: services[0].hook[0].signal.pidFile: "nginx.pid" is not an absolute path`, ""},
		{service + "hook: [{signal: {pidFile: /run/x, signal: KILL}}]\n", `m.yaml:4:47: services[0].hook[0].signal.signal: "KILL" is not HUP, USR1, USR2, WINCH, INT, QUIT or TERM`, ""},
		{service + "hook: [{haproxy: {socket: /run/x}}]\n", "m.yaml:4:22: services[0].hook[0].haproxy: cert is missing", "for example: cert: /etc/haproxy/payment.pem"},
		{service + "hook: [{http: {url: 'ftp://x'}}]\n", `m.yaml:4:25: services[0].hook[0].http.url: "ftp://x" is no address: a URL that starts with https:// or http:// is expected`, ""},
		{service + "hook: [{http: {url: 'http://me:hunter2@x/'}}]\n", "m.yaml:4:25: services[0].hook[0].http.url: a URL with a user or a password in it: secrets do not stand in a manifest", ""},
		{service + "hook: [{rollout: {name: a}}]\n", "m.yaml:4:22: services[0].hook[0].rollout: kind is missing", "for example: kind: Deployment"},
		{service + "confirm: payment\n", `m.yaml:4:14: services[0].confirm.endpoint: "payment" is no endpoint: host:port or tls://host:port is expected`, ""},
		{service + "confirm: tls://payment\n", `m.yaml:4:14: services[0].confirm.endpoint: "tls://payment" is no endpoint: host:port or tls://host:port is expected`, ""},
		{service + "confirm: {answers: 3}\n", "m.yaml:4:14: services[0].confirm: endpoint is missing", "for example: endpoint: tls://127.0.0.1:8443"},
		{service + "confirm: {endpoint: 'a:1', answers: '3'}\n", "m.yaml:4:41: services[0].confirm.answers: a number is expected, such as 3", ""},
		{service + "confirm: {endpoint: 'a:1', answers: 0}\n", "m.yaml:4:41: services[0].confirm.answers: a number is expected, such as 3", ""},
		{service + "confirm: {endpoint: 'a:1', within: soon}\n", `m.yaml:4:40: services[0].confirm.within: "soon" is no duration: numbers and units (s, m, h, d, w, y) such as 90d, 1y or 1d12h are expected`, ""},
		{service + "confirm: {endpoint: 'a:1', serverName: a..b}\n", `m.yaml:4:44: services[0].confirm.serverName: "a..b" is no DNS name: labels of 1 to 63 letters, digits and '-', with dots between them, are expected (RFC 1123, Section 2.1)`, ""},
	})
}

func TestParseRefusesBackends(t *testing.T) {
	const none = ": a name under backends, local, or a reference such as vault:<mount>/<role> is expected"
	const oneOf = "exactly one of vault, awspca, acme, kubernetes or local is expected, not "
	run(t, []wrong{
		{"backend: meshh\nbackends: {mesh: {local: {intermediate: x}}}\n", `m.yaml:2:10: backend: there is no backend "meshh"` + none, "did you mean mesh?"},
		{"services:\n  - name: a\n  - name: b\n    backend: other\n", `m.yaml:5:14: services[1].backend: there is no backend "other"` + none, ""},
		{"backend: 'vault:'\n", `m.yaml:2:10: backend: "vault:" is no backend: local, local:<intermediate>, vault:<mount>/<role> or a name under backends is expected`, ""},
		{"backends: {local: {local: {intermediate: x}}}\n", `m.yaml:2:12: backends: "local" is the state directory's own backend: another name is needed`, ""},
		{"backends: {'a b': {local: {intermediate: x}}}\n", `m.yaml:2:12: backends: "a b" is no name for a backend: letters, digits, '-', '_' and '.' only, a letter or digit first`, ""},
		{"backends: {a: {}}\n", "m.yaml:2:15: backends.a: " + oneOf + "0", ""},
		{"backends: {a: {local: {intermediate: x}, acme: {directory: 'https://x'}}}\n", "m.yaml:2:15: backends.a: " + oneOf + "2", ""},
		{"backends: {a: {vault: {role: x}}}\n", "m.yaml:2:23: backends.a.vault: mount is missing", "for example: mount: pki"},
		{"backends: {a: {vault: {mount: pki}}}\n", "m.yaml:2:23: backends.a.vault: role is missing: only mode sign-verbatim does without one", ""},
		{"backends: {a: {vault: {mount: pki, role: x, address: 'https://u:hunter2@vault'}}}\n", "m.yaml:2:54: backends.a.vault.address: a URL with a user or a password in it: secrets do not stand in a manifest", ""},
		{"backends: {a: {vault: {mount: pki, role: x, auth: {token: hunter2}}}}\n", "m.yaml:2:59: backends.a.vault.auth.token: a secret does not stand in a manifest: name the file that holds it", "for example: token: {file: /run/secrets/vault-token}"},
		{"backends: {a: {vault: {mount: pki, role: x, auth: {approle: {roleId: y, secretId: hunter2}}}}}\n", `m.yaml:2:73: backends.a.vault.auth.approle: unknown key "secretId"`, "did you mean secretIdFile?"},
		{"backends: {a: {vault: {mount: pki, role: x, auth: {approle: {roleId: y, secretIdFile: z, wrapped: yes}}}}}\n", "m.yaml:2:99: backends.a.vault.auth.approle.wrapped: true or false is expected", ""},
		{"backends: {a: {vault: {mount: pki, role: x, auth: {jwt: {role: y}}}}}\n", "m.yaml:2:57: backends.a.vault.auth.jwt: tokenFile is missing: the file that holds the token", ""},
		{"backends: {a: {vault: {mount: pki, role: x, auth: {}}}}\n", "m.yaml:2:51: backends.a.vault.auth: exactly one of token, approle, kubernetes, jwt, cert or aws is expected, not 0", ""},
		{"backends: {a: {awspca: {arn: 'arn:aws:s3:::b'}}}\n", `m.yaml:2:30: backends.a.awspca.arn: "arn:aws:s3:::b" is no ARN of a certificate authority: arn:aws:acm-pca:<region>:<account>:certificate-authority/<id> is expected`, ""},
		{"backends: {a: {kubernetes: {signerName: mesh}}}\n", `m.yaml:2:41: backends.a.kubernetes.signerName: "mesh" is no signer's name: <domain>/<name> is expected`, ""},
	})
}

// Whatever stands where a secret was put by mistake, no error repeats it.
func TestErrorsRepeatNoSecret(t *testing.T) {
	for _, body := range []string{
		"backends: {a: {vault: {mount: pki, role: x, auth: {token: hunter2}}}}",
		"backends: {a: {vault: {mount: pki, role: x, auth: {token: [hunter2]}}}}",
		"backends: {a: {vault: {mount: pki, role: x, auth: hunter2}}}",
		"backends: {a: {vault: {mount: pki, role: x, address: 'https://u:hunter2@%zz'}}}",
		"backends: {a: {vault: {mount: pki, role: x, auth: {approle: {secretId: hunter2}}}}}",
		"services: [{name: a, confirm: 'https://u:hunter2@h'}]",
		"services: [{name: a, hook: [{http: {url: 'hunter2@h'}}]}]",
	} {
		_, err := Parse("m.yaml", []byte("apiVersion: meshpki/v1\n"+body+"\n"))
		if e, ok := errors.AsType[*Error](err); !ok || strings.Contains(e.Error()+e.Hint, "hunter2") {
			t.Errorf("%s\ngave %v", body, err)
		}
	}
}
