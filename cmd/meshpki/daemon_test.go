package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// started is a daemon that runs, in a directory of its own.
type started struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	says *output
	*manager
}

// home makes a state directory and a manifest.
func home(t *testing.T, manifest string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("signals and sockets of Unix")
	}
	dir := t.TempDir()
	inDir(t, dir, "ca", "init")
	rewrite(t, dir, manifest)
	return dir
}

func rewrite(t *testing.T, dir, manifest string) {
	t.Helper()
	text := "apiVersion: meshpki/v1\nservices:\n" + manifest
	if err := os.WriteFile(filepath.Join(dir, "pki", "meshpki.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func process(dir string, words ...string) *exec.Cmd {
	cmd := exec.Command("meshpki", words...)
	cmd.Dir, cmd.Env = dir, []string{"MESHPKI_TEST_NOW=real", "PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8"}
	return cmd
}

// inDir runs a command there that must succeed.
func inDir(t *testing.T, dir string, words ...string) string {
	t.Helper()
	out, err := process(dir, words...).CombinedOutput()
	if err != nil {
		t.Fatalf("meshpki %s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// start starts a daemon and waits until it is ready.
func start(t *testing.T, dir string, words ...string) *started {
	t.Helper()
	return startUnder(t, newManager(t), dir, words...)
}

func startUnder(t *testing.T, m *manager, dir string, words ...string) *started {
	t.Helper()
	d := &started{t: t, dir: dir, says: &output{}, manager: m}
	d.cmd = process(dir, append([]string{"renew", "--daemon"}, words...)...)
	d.cmd.Stderr = d.says
	d.cmd.Env = append(d.cmd.Env, "NOTIFY_SOCKET="+d.path, "WATCHDOG_USEC=1000000", "TAKEN=along")
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
	})
	if told, err := d.await("READY=1"); err != nil {
		t.Fatalf("not ready, told %q: %v\n%s", told, err, d.says)
	}
	return d
}

func (d *started) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// stop ends it in order, and soon.
func (d *started) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("stopped: %v\n%s", err, d.says)
	}
}

// until waits for something to be so.
func (d *started) until(what string, so func() bool) {
	d.t.Helper()
	for range 1200 { // two minutes
		if so() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.t.Fatalf("waited for %s\n%s", what, d.says)
}

// get asks the daemon for a page.
func (d *started) get(path string) (int, string) {
	d.t.Helper()
	address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(d.says.String())
	if address == nil {
		d.t.Fatalf("no address\n%s", d.says)
	}
	if !strings.HasPrefix(address[1], "127.0.0.1:") {
		d.t.Errorf("it listens at %s", address[1])
	}
	answer, err := http.Get("http://" + address[1] + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// A service manager is told when the first certificates are there, what is next, that
// there is progress, of each reload, and of the end.
func TestDaemonTellsItsManager(t *testing.T) {
	dir := home(t, "")
	environ := filepath.Join(dir, "environ")
	hook := "/bin/true"
	if runtime.GOOS == "linux" {
		hook = "/bin/cp, /proc/self/environ, " + environ
	}
	rewrite(t, dir, "  - name: payment\n    hook: [{exec: ["+hook+"], env: [TAKEN, NOTIFY_SOCKET, WATCHDOG_USEC]}]\n")
	d := start(t, dir)
	if has, err := os.ReadFile(environ); runtime.GOOS == "linux" && (err != nil || !strings.Contains(string(has), "TAKEN=along") ||
		strings.Contains(string(has), "NOTIFY_SOCKET") || strings.Contains(string(has), "WATCHDOG")) {
		t.Errorf("the hook's environment: %q, %v", has, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pki", "services", "default", "payment", "tls.crt")); err != nil {
		t.Errorf("ready without a certificate: %v", err)
	}
	inTime := false
	for range 5 { // a machine may be busy for a moment
		began := time.Now()
		for range 3 {
			d.expect("WATCHDOG=1")
		}
		inTime = inTime || time.Since(began) < 3*time.Second
	}
	if !inTime {
		t.Error("it never gave three signs of life within three seconds, and one is wanted each second")
	}
	d.signal(syscall.SIGHUP)
	told := d.expect("RELOADING=1")
	if last := told[len(told)-1]; runtime.GOOS == "linux" && !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*$`).MatchString(last) {
		t.Errorf("told %q", last)
	}
	d.expect("READY=1")
	told = d.expect("STATUS=")
	if last := told[len(told)-1]; !strings.HasPrefix(last, "STATUS=1 service under care; next renewal on ") {
		t.Errorf("told %q", last)
	}
	d.signal(syscall.SIGINT)
	d.expect("STOPPING=1")
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	if says := d.says.String(); !strings.Contains(says, "msg=served service=payment.default") || strings.Contains(says, "level=ERROR") {
		t.Errorf("it says\n%s", says)
	}
}

// Whoever watches a daemon is told when what it renewed is not served, and by what.
func TestDaemonIsIll(t *testing.T) {
	dir := home(t, "  - name: payment\n    confirm: {endpoint: 'tls://127.0.0.1:1', within: 1s}\n")
	m := newManager
	if runtime.GOOS == "linux" {
		m = func(t *testing.T) *manager { return newManagerAt(t, fmt.Sprintf("@meshpki-test-%d", os.Getpid())) }
	}
	d := startUnder(t, m(t), dir, "--metrics", "0")
	d.until("the alarm", func() bool {
		code, body := d.get("/healthz")
		return code == http.StatusServiceUnavailable && body == "payment.default: its certificate is not served, for too long\n"
	})
	d.stop()
}

// What is wrong with a manifest is told, and the one before is kept until it is mended.
// A CA whose certificate is lost is told when it is lost, and not when the first
// certificate is due.
func TestDaemonTellsOfALostAuthority(t *testing.T) {
	dir := home(t, "  - name: payment\n")
	d := start(t, dir)
	if err := os.Remove(filepath.Join(dir, "pki", "ca", "issuing.crt")); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGHUP)
	d.until("it is told", func() bool { return strings.Contains(d.says.String(), "issuing.crt is missing") })
	if !strings.Contains(d.says.String(), "what=authority") {
		t.Errorf("it says\n%s", d.says)
	}
}

func TestDaemonKeepsTheManifestBefore(t *testing.T) {
	const good = "  - name: payment\n"
	dir := home(t, good)
	d := start(t, dir, "--metrics", "0")
	if _, page := d.get("/metrics"); !strings.Contains(page, "\nmeshpki_manifest_ok 1\n") {
		t.Errorf("metrics\n%s", page)
	}
	for _, wrong := range []struct{ manifest, says string }{
		{good + "  - nme: account\n", `pki/meshpki.yaml:4:5: services[1]: unknown key \"nme\"`},
		{good + "  - name: account\n    backend: mesh\n", "there is no backend "},
		{"  []\n", "the manifest has lost its services"},
	} {
		rewrite(t, dir, wrong.manifest)
		d.signal(syscall.SIGHUP)
		d.until(wrong.says, func() bool { return strings.Contains(d.says.String(), wrong.says) })
		d.until("the report", func() bool {
			report, err := os.ReadFile(filepath.Join(dir, "pki", "renew", "pass.json"))
			return err == nil && strings.Contains(string(report), `"problem":"the manifest `) && strings.Contains(string(report), `"listed":1,`)
		})
		if _, page := d.get("/metrics"); !strings.Contains(page, "\nmeshpki_manifest_ok 0\n") {
			t.Errorf("metrics\n%s", page)
		}
	}
	rewrite(t, dir, good+"  - name: account\n")
	d.signal(syscall.SIGHUP)
	d.until("the new service", func() bool {
		_, err := os.Stat(filepath.Join(dir, "pki", "services", "default", "account", "tls.crt"))
		return err == nil
	})
	_, page := d.get("/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	read, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Errorf("%v:\n%s", err, page)
	}
	for _, name := range []string{"meshpki_certificate_not_after_seconds", "meshpki_certificate_due_seconds", "meshpki_target_state",
		"meshpki_renewals_total", "meshpki_failures_total", "meshpki_last_pass_timestamp_seconds", "meshpki_build_info"} {
		if len(read[name].GetMetric()) == 0 {
			t.Errorf("%s is not among the metrics:\n%s", name, page)
		}
	}
	d.until("health", func() bool { code, body := d.get("/healthz"); return code == 200 && body == "ok\n" })
	if code, _ := d.get("/else"); code != http.StatusNotFound {
		t.Errorf("another page: %d", code)
	}
	d.stop()
}

// A hook that hangs keeps no other service waiting, nor the end of the daemon; it is
// begun again by the next one. Killed at any moment, it leaves what can be gone on with.
func TestDaemonStopsAndStartsAgain(t *testing.T) {
	dir := home(t, "  - name: hangs\n    hook: [{exec: [/bin/sleep, '600'], timeout: 10m}]\n  - name: payment\n    hook: [/bin/true]\n")
	cmd := process(dir, "renew", "--daemon", "--log-format", "json")
	says := &output{}
	cmd.Stderr = says
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &started{t: t, dir: dir, cmd: cmd, says: says}
	hangs := filepath.Join(dir, "pki/services/default/hangs/tls.crt")
	d.until("payment", func() bool {
		_, err := os.Stat(hangs)
		return err == nil && strings.Contains(says.String(), `"msg":"served","service":"payment.default"`)
	})
	began := time.Now()
	d.signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped: %v\n%s", err, says)
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	for lines := bufio.NewScanner(strings.NewReader(says.String())); lines.Scan(); {
		var line struct{ Time, Level, Msg string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Msg == "" || line.Time == "" {
			t.Errorf("%q: %v", lines.Text(), err)
		}
	}
	rewrite(t, dir, "  - name: hangs\n    hook: [/bin/true]\n  - name: payment\n    hook: [/bin/true]\n")
	before := contents(t, hangs)
	again := start(t, dir)
	again.until("the hook", func() bool { return strings.Contains(again.says.String(), "msg=served service=hangs.default") })
	again.stop()
	if now := contents(t, hangs); now != before {
		t.Error("another certificate was made, where the one there was only to be served")
	}
}

// A daemon that is killed over and over, with people who renew beside it, leaves pairs that
// match and a ledger that is whole.
func TestDaemonBesideOthers(t *testing.T) {
	var manifest strings.Builder
	for i := range 6 {
		fmt.Fprintf(&manifest, "  - name: s%d\n    outputs: [{to: out/a%d}, {to: out/b%d}]\n    hook: [/bin/true]\n", i, i, i)
	}
	dir := home(t, manifest.String())
	for round := range 4 {
		d := start(t, dir)
		people := make([]*exec.Cmd, 3)
		for i := range people {
			people[i] = process(dir, "renew", "--force", fmt.Sprintf("s%d", i))
			if err := people[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "out", "a5", "..data", "tls.crt")); err != nil {
			t.Fatal(err)
		}
		d.signal(syscall.SIGHUP)
		time.Sleep(time.Duration(round) * 40 * time.Millisecond)
		d.signal(syscall.SIGKILL)
		for _, p := range people {
			if err := p.Wait(); err != nil {
				t.Errorf("a person's renew beside the daemon: %v", err)
			}
		}
	}
	d := start(t, dir)
	d.until("what has drifted", func() bool {
		_, err := os.Stat(filepath.Join(dir, "out", "a5", "tls.crt"))
		return err == nil
	})
	d.stop()
	if out := inDir(t, dir, "renew"); out != "" {
		t.Errorf("something was left over:\n%s", out)
	}
	var sets []string
	for i := range 6 {
		a, b := filepath.Join(dir, "out", fmt.Sprintf("a%d", i)), filepath.Join(dir, "out", fmt.Sprintf("b%d", i))
		for _, place := range []string{a, b} {
			if err := checkSet(place); err != nil {
				t.Errorf("%s: %v", place, err)
			}
		}
		one, _ := os.ReadFile(filepath.Join(a, "tls.crt"))
		other, _ := os.ReadFile(filepath.Join(b, "tls.crt"))
		if sets = append(sets, string(one)); string(one) != string(other) {
			t.Errorf("s%d has two certificates", i)
		}
	}
	if slices.Contains(sets, "") {
		t.Error("a certificate is missing")
	}
	inDir(t, dir, "log", "verify")
}

func contents(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
