//go:build integration

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The units that are printed are what systemd takes: its own checker finds nothing to
// say about them, and rates the sandbox.

const highestExposure = 2.0

func systemdAnalyze(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// meshpkiProgram builds the program, at a path with everything in it that a unit
// could take for something else.
func meshpkiProgram(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "urfave_cli_no_docs", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func TestIntegrationSystemdUnits(t *testing.T) {
	base := t.TempDir()
	program := filepath.Join(base, `my $bin 100%; #x`, "meshpki")
	meshpkiProgram(t, program)
	dir := filepath.Join(base, `state $HOME 50%h "it's"`)
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), program, append(args, "--dir", dir)...).CombinedOutput()
		if err != nil {
			t.Fatalf("meshpki %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("ca", "init")
	for name, test := range map[string]struct {
		services string
		reasons  []string // of a rating that is not reached
	}{
		"nothing":  {"[]", nil},
		"places":   {"\n- name: payment\n  outputs: [{to: \"/srv/a b/100%/it's\"}]", nil},
		"owners":   {"\n- name: payment\n  outputs: [{to: /srv/tls, owner: daemon}]\n  hook: [systemctl, reload, nginx.service]\n  confirm: \"127.0.0.1:8443\"", nil},
		"network":  {"\n- name: payment\n  outputs: [{to: /srv/tls}]\n  confirm: \"mesh.example:8443\"", nil},
		"the most": {"\n- name: payment\n  outputs: [{to: /srv/tls, owner: daemon}]\n  hook: [{signal: {pidFile: /run/x.pid, user: daemon}}, {exec: [/bin/true]}]\n  confirm: \"mesh.example:8443\"", []string{"CAP_CHOWN gives them", "CAP_KILL signals", "The network is needed by"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			manifest := filepath.Join(out, "mesh pki 100%.yaml")
			if err := os.WriteFile(manifest, []byte("apiVersion: meshpki/v1\nservices: "+test.services+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, more := range [][]string{nil, {"--daemon"}, {"--service-user", "www-data"}} {
				if more != nil && more[0] == "--service-user" && strings.Contains(test.services, "owner") {
					continue
				}
				run(append([]string{"units", "systemd", "--config", manifest, "--out", out, "--force"}, more...)...)
				files, err := filepath.Glob(filepath.Join(out, "meshpki*.*"))
				if err != nil || len(files) == 0 {
					t.Fatal("no units", err)
				}
				if said := systemdAnalyze(t, append([]string{"verify", "--man=no"}, files...)...); strings.Contains(said, out) || strings.Contains(said, "meshpki") {
					t.Errorf("%v: systemd-analyze verify says\n%s", more, said)
				}
				for _, f := range files {
					if strings.HasSuffix(f, ".service") {
						rate(t, f, test.reasons)
					}
				}
			}
		})
	}
}

// rate holds a service against the rating that is wanted, or its reasons. That a
// temporary directory is left open to it is because of this test's own.
func rate(t *testing.T, unit string, reasons []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), filepath.Base(unit))
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, strings.Replace(string(text), "\nPrivateTmp=no\n", "\nPrivateTmp=yes\n", 1))
	said := systemdAnalyze(t, "security", "--offline=true", "--no-pager", file)
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("systemd-analyze security says\n%s", said)
	}
	exposure, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %.1f", filepath.Base(file), exposure)
	if exposure <= highestExposure {
		return
	}
	for _, reason := range reasons {
		if !strings.Contains(strings.ReplaceAll(string(text), "\n# ", " "), reason) {
			t.Errorf("%s: %.1f, and %q does not stand in it:\n%s", file, exposure, reason, text)
		}
	}
	if len(reasons) == 0 {
		t.Errorf("%s: rated %.1f, want at most %.1f\n%s", file, exposure, highestExposure, said)
	}
}

// Every calendar event that a timer may get is one, and comes at least as often as is said.
func TestIntegrationTimers(t *testing.T) {
	program := filepath.Join(t.TempDir(), "meshpki")
	meshpkiProgram(t, program)
	for _, life := range []string{"1y", "30d", "10d", "7d", "48h", "24h", "12h", "6h", "2h", "10m"} {
		dir := filepath.Join(t.TempDir(), "pki")
		for _, args := range [][]string{{"ca", "init"}, {"issue", "--service", "payment", "--validity", life}} {
			if out, err := exec.CommandContext(t.Context(), program, append(args, "--dir", dir)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
		out, err := exec.CommandContext(t.Context(), program, "units", "systemd", "--dir", dir).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, when, _ := strings.Cut(string(out), "\nOnCalendar=")
		when, _, _ = strings.Cut(when, "\n")
		said := systemdAnalyze(t, "calendar", "--iterations=2", when)
		if !strings.Contains(said, "Iter. #2") {
			t.Errorf("%s: %s", when, fmt.Sprint(said))
		}
	}
}
