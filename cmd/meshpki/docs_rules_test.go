package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/inspect"
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
	b.WriteString("\n# Rules of `inspect --lint`\n\nWhat a careful reader would remark on a certificate that stands alone.\n")
	write(inspect.LintRules())
	b.WriteString("\n# Rules of the meshes\n\nWhat each mesh asks of a CA certificate before it loads it, from its own source. `inspect --lint` tells the\n" +
		"verdicts of each mesh apart from other findings: what one mesh refuses is no defect.\n")
	write(inspect.ConsumerRules())
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
