package main

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The recipes of docs/ci.md are run as a runner would: what it would hand to a shell is
// handed to one, in a checkout with good certificates and in one with bad ones.

const ciPage = "docs/ci.md"

// ciRecipe is the block behind <!-- recipe NAME -->.
func ciRecipe(t *testing.T, name string) string {
	t.Helper()
	_, rest, found := strings.Cut(strings.Join(readDoc(t, ciPage), "\n"), "<!-- recipe "+name+" -->\n```")
	_, rest, _ = strings.Cut(rest, "\n")
	text, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatalf("%s has no recipe %s", ciPage, name)
	}
	return text + "\n"
}

// checkout makes a repository's working tree. With wrong roots what is in it is not trusted.
func checkout(t *testing.T, good bool) (dir string, run func(shell, line string) (string, int)) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the recipes are for a shell of Unix")
	}
	dir = t.TempDir()
	certs := filepath.Join("..", "..", "testdata", "certs")
	if err := os.Mkdir(filepath.Join(dir, "certs"), 0o755); err != nil {
		t.Fatal(err)
	}
	roots := map[bool]string{true: "good-root.pem", false: "good-intermediate.pem"}[good]
	from := map[string]string{"payment.crt": "good-chain.pem", "roots.pem": roots}
	if !good {
		from["payment.crt"] = "wrong-expired-leaf.pem"
	}
	for to, name := range from {
		data, err := os.ReadFile(filepath.Join(certs, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "certs", to), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "meshpki")); err != nil {
		t.Fatal(err)
	}
	return dir, func(shell, line string) (string, int) {
		t.Helper()
		words := append(strings.Fields(shell), line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8", "MESHPKI_TEST_NOW=2026-12-01T12:00:00Z",
			"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
}

// ciCommands are the lines of a recipe that are ours: installing a release needs a
// network, and is not what a recipe is about.
func ciCommands(t *testing.T, lines []string) (ours []string) {
	t.Helper()
	for _, line := range lines {
		if strings.HasPrefix(line, "meshpki ") {
			ours = append(ours, line)
		} else if !strings.HasPrefix(line, "go install ") {
			t.Errorf("a step that the test does not know: %s", line)
		}
	}
	if len(ours) == 0 {
		t.Fatal("no step runs meshpki")
	}
	return ours
}

func TestCIGitHub(t *testing.T) {
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct {
				Run, Uses, If string
				With          map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(ciRecipe(t, "github")), &workflow); err != nil {
		t.Fatal(err)
	}
	var lines []string
	uploads := ""
	for _, s := range workflow.Jobs["verify"].Steps {
		if s.Run != "" {
			lines = append(lines, s.Run)
		}
		if f := s.With["sarif_file"]; f != "" {
			uploads = f
		}
	}
	for _, good := range []bool{true, false} {
		dir, run := checkout(t, good)
		for _, line := range ciCommands(t, lines) {
			out, code := run("bash -e -o pipefail -c", line) // as the runner does
			if (code == 0) != good || !good && code != 3 {
				t.Errorf("good %v: %s ends with %d: %s", good, line, code, out)
			}
			if annotated := strings.Contains(out, "::error file=certs/payment.crt,"); strings.Contains(line, "github") && annotated == good {
				t.Errorf("good %v: %s", good, out)
			}
		}
		data, err := os.ReadFile(filepath.Join(dir, uploads))
		if err != nil || !json.Valid(data) || strings.Contains(string(data), `"ruleId"`) == good {
			t.Errorf("good %v: what is uploaded: %v\n%s", good, err, data)
		}
	}
}

// ciReport is what a test report would show.
func ciReport(t *testing.T, dir, name string, good bool) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal(data, &report); err != nil || report.Tests != 1 || (report.Failures == 0) != good {
		t.Errorf("good %v: %+v, %v", good, report, err)
	}
}

func TestCIGitLab(t *testing.T) {
	var jobs map[string]struct {
		Script    []string
		Artifacts struct {
			Reports struct{ Junit string }
		}
	}
	if err := yaml.Unmarshal([]byte(ciRecipe(t, "gitlab")), &jobs); err != nil {
		t.Fatal(err)
	}
	job := jobs["certificates"]
	for _, good := range []bool{true, false} {
		dir, run := checkout(t, good)
		for _, line := range ciCommands(t, job.Script) {
			if out, code := run("bash -e -o pipefail -c", line); (code == 0) != good {
				t.Errorf("good %v: %d: %s", good, code, out)
			}
		}
		ciReport(t, dir, job.Artifacts.Reports.Junit, good)
	}
}

func TestCIJenkins(t *testing.T) {
	text := ciRecipe(t, "jenkins")
	step := regexp.MustCompile(`(?m)^\s+sh '([^']+)'$`).FindStringSubmatch(text)
	report := regexp.MustCompile(`junit '([^']+)'`).FindStringSubmatch(text)
	if step == nil || report == nil || strings.Count(text, "{") != strings.Count(text, "}") {
		t.Fatal("no step, no report, or a brace too many")
	}
	for _, good := range []bool{true, false} {
		dir, run := checkout(t, good)
		if out, code := run("sh -xe -c", ciCommands(t, step[1:])[0]); (code == 0) != good {
			t.Errorf("good %v: %d: %s", good, code, out)
		}
		ciReport(t, dir, report[1], good)
	}
}

// TestCIHook commits with the hook in place.
func TestCIHook(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git")
	}
	commit := func(dir string, run func(string, string) (string, int)) (string, int) {
		if out, code := run("sh -c", "git init -q . && mkdir -p .git/hooks"); code != 0 {
			t.Fatal(out)
		}
		if err := os.WriteFile(filepath.Join(dir, ".git", "hooks", "pre-commit"), []byte(ciRecipe(t, "hook")), 0o755); err != nil {
			t.Fatal(err)
		}
		return run("sh -c", "git add . && git commit -qm certificates")
	}
	for _, good := range []bool{true, false} {
		dir, run := checkout(t, good)
		if out, code := commit(dir, run); (code == 0) != good {
			t.Errorf("good %v: %d: %s", good, code, out)
		}
	}
	dir, run := checkout(t, true)
	key, err := os.ReadFile(filepath.Join("..", "..", "testdata", "certs", "good-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "certs", "payment.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := commit(dir, run); code == 0 || !strings.Contains(out, "certs/payment.key holds a private key") {
		t.Errorf("a key: %d: %s", code, out)
	}
}

// TestCIFramework runs the entry as pre-commit does: with the files that match behind it.
func TestCIFramework(t *testing.T) {
	var config struct {
		Repos []struct {
			Hooks []struct{ Entry, Files, Language string }
		}
	}
	if err := yaml.Unmarshal([]byte(ciRecipe(t, "framework")), &config); err != nil {
		t.Fatal(err)
	}
	hook := config.Repos[0].Hooks[0]
	if !regexp.MustCompile(hook.Files).MatchString("certs/payment.crt") || hook.Language != "system" {
		t.Errorf("%+v", hook)
	}
	for _, good := range []bool{true, false} {
		_, run := checkout(t, good)
		if out, code := run("sh -c", hook.Entry+" certs/payment.crt"); (code == 0) != good {
			t.Errorf("good %v: %d: %s", good, code, out)
		}
	}
}
