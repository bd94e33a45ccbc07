package command

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/renew"
)

// service reads a manifest with one service, a hook and a confirmation.
func service(t *testing.T, body string) (*config.Manifest, *config.Service) {
	t.Helper()
	m, err := config.Parse("m.yaml", []byte("apiVersion: meshpki/v1\nservices:\n  - name: payment\n    outputs: [{to: /etc/a}, {to: 'file:/etc/b/'}]\n"+body))
	if err != nil {
		t.Fatal(err)
	}
	return m, &m.Services[0]
}

func TestStepsOf(t *testing.T) {
	for body, want := range map[string]renew.Step{
		"hook: [nginx, -s, reload]":                                                                 {Exec: []string{"nginx", "-s", "reload"}},
		"hook: [{exec: [a], timeout: 1d, env: [LANG, B]}]":                                          {Exec: []string{"a"}, Timeout: 24 * time.Hour, Env: []string{"LANG", "B"}},
		"hook: [{exec: [a], after: [/etc/b, /etc/a]}]":                                              {Exec: []string{"a"}, Places: []string{"file:/etc/b/", "/etc/a"}},
		"hook: [{signal: {pidFile: /run/a}}]":                                                       {Signal: &renew.Signal{PIDFile: "/run/a"}},
		"hook: [{signal: {pidFile: /run/a, signal: USR1, user: b}}]":                                {Signal: &renew.Signal{PIDFile: "/run/a", Signal: "USR1", User: "b"}},
		"hook: [{systemctl: {unit: a.service}}]":                                                    {Systemctl: &renew.Systemctl{Action: "try-reload-or-restart", Unit: "a.service"}},
		"hook: [{haproxy: {socket: /run/s, cert: c}, timeout: 5s}]":                                 {HAProxy: &renew.HAProxy{Socket: "/run/s", Cert: "c"}, Timeout: 5 * time.Second},
		"hook: [{http: {url: 'https://a/', method: GET, roots: /r.pem, proxy: true, timeout: 5s}}]": {HTTP: &renew.HTTP{URL: "https://a/", Method: "GET", Roots: "/r.pem", Proxy: true}, Timeout: 5 * time.Second},
		"hook: [{http: {url: 'https://a/'}, timeout: 5s}]":                                          {HTTP: &renew.HTTP{URL: "https://a/"}, Timeout: 5 * time.Second},
	} {
		m, s := service(t, "    "+body+"\n")
		got, err := stepsOf(m, s, nil)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s is %+v, %v; want %+v", body, got, err, want)
		}
	}
	m, s := service(t, "")
	if got, err := stepsOf(m, s, nil); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestStepsRefused are good by their form and could never be done.
func TestStepsRefused(t *testing.T) {
	for body, want := range map[string]string{
		"hook: [{exec: [a]}, {rollout: {kind: Deployment, name: a}}]": "m.yaml:5:25: services[0].hook[1]: nothing here can restart a Deployment",
		"hook: [{exec: [a], env: [MESHPKI_PASSPHRASE_FILE]}]":         "m.yaml:5:12: services[0].hook[0]: MESHPKI_PASSPHRASE_FILE is, or leads to, a secret of meshpki's own: no hook is given it",
		"hook: [{haproxy: {socket: '10.0.0.5:9999', cert: c}}]":       "m.yaml:5:12: services[0].hook[0]: 10.0.0.5:9999 is not an address of this machine: a private key does not go over the network in the clear",
		"hook: [{http: {url: 'http://a/', roots: /r.pem}}]":           "m.yaml:5:12: services[0].hook[0]: roots are for https",
	} {
		m, s := service(t, "    "+body+"\n")
		if _, err := stepsOf(m, s, nil); err == nil || err.Error() != want {
			t.Errorf("%s\ngave %v\nwant %s", body, err, want)
		}
	}
}

func TestConfirmOf(t *testing.T) {
	for body, want := range map[string]*renew.Confirm{
		"":                      nil,
		"confirm: tls://a:8443": {Endpoint: "tls://a:8443", Within: 10 * time.Minute, Settle: 5 * time.Second},
		"confirm: {endpoint: 'a:1', serverName: b.c, answers: 3, within: 1d}": {Endpoint: "a:1", ServerName: "b.c", Answers: 3, Within: 24 * time.Hour, Settle: 5 * time.Second},
	} {
		m, s := service(t, "    "+body+"\n")
		if got, err := confirmOf(m, s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, %v; want %+v", body, got, err, want)
		}
	}
	m, s := service(t, "    confirm: {endpoint: 'a:1', answers: 100000}\n")
	const want = "m.yaml:5:14: services[0].confirm: 100000 answers: at most 1000 in a row can be asked for"
	if _, err := confirmOf(m, s); err == nil || err.Error() != want {
		t.Errorf("%v; want %s", err, want)
	}
}

// TestStepWords: the manifest takes the words that a step does.
func TestStepWords(t *testing.T) {
	for name, tag := range map[string]struct {
		of   any
		want string
	}{
		"Signal": {config.Signal{}, renew.SignalNames},
		"Action": {config.Systemctl{}, renew.SystemctlActions},
	} {
		f, _ := reflect.TypeOf(tag.of).FieldByName(name)
		if got := f.Tag.Get("of"); strings.Join(strings.Fields(got), " ") != tag.want {
			t.Errorf("%s: the manifest takes %s, a step %s", name, got, tag.want)
		}
	}
}
