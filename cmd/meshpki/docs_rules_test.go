package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/issue/layout"
)

// rulesPage is docs/rules.md as the code has the rules.
func rulesPage() string {
	var b strings.Builder
	b.WriteString("# Rules\n\n" +
		"What `meshpki inspect` and `meshpki verify` judge by, each under the name that stands in JSON, JUnit, SARIF and\n" +
		"annotations. The names stay. An error makes an answer no; a warning does so with `--fail-on warning`, as far as a\n" +
		"command has it; info never does. This page is written from the code, and a test holds it.\n")
	write := func(list []inspect.Rule) {
		for _, r := range list {
			fmt.Fprintf(&b, "\n## %s\n\nHolds where %s. (%s; %s)\n", r.ID, r.Title, r.Severity, r.Citation)
		}
	}
	write(inspect.Rules())
	b.WriteString("\n# Rules of `inspect --lint`\n\nWhat a careful reader would remark on a certificate, and on a file as a whole. Beside these `--lint` judges by the\n" +
		"rules of conformance above, which `verify --strict` takes for errors.\n")
	write(inspect.LintRules())
	b.WriteString("\n# Rules of the meshes\n\nWhat each mesh asks of a CA certificate before it loads it, from its own source. `inspect --lint` tells the\n" +
		"verdicts of each mesh apart from other findings: what one mesh refuses is no defect.\n")
	write(inspect.ConsumerRules())
	known := map[string]bool{}
	for _, r := range slices.Concat(inspect.Rules(), inspect.LintRules(), inspect.ConsumerRules()) {
		known[r.ID] = true
	}
	b.WriteString("\n# Rules on sets of files\n\nWhat `inspect --lint` tells of the files of a directory or a manifest together: would a mesh load its CA from them\n" +
		"as they lie there, and does what a service has belong together.\n")
	write(layout.JudgeRules())
	b.WriteString("\n# Rules on the CA of a mesh with its chain and roots\n\nWhat `ca export --for`, `ca import --from` and `inspect --lint` ask of a CA as a whole, where that is not said above.\n")
	for _, consumer := range inspect.MaterialConsumers() {
		write(slices.DeleteFunc(inspect.MaterialRules(consumer), func(r inspect.Rule) bool {
			twice := known[r.ID]
			known[r.ID] = true
			return twice
		}))
	}
	return b.String()
}

// TestDocsRules holds docs/rules.md against the code; MESHPKI_DOCS=update writes it.
func TestDocsRules(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "rules.md")
	want := rulesPage()
	if os.Getenv("MESHPKI_DOCS") == "update" {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(string(got), "\r\n", "\n") != want {
		t.Error("docs/rules.md is not what the code says; MESHPKI_DOCS=update go test ./cmd/meshpki -run TestDocsRules writes it")
	}
}
