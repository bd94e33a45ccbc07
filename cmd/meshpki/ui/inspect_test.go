package ui_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is when the fixtures' good certificates are good.
var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../testdata/certs", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func objects(t testing.TB, name string) []inspect.Object {
	t.Helper()
	list, err := inspect.Parse(fixture(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func inspection(t testing.TB, names ...string) ui.Inspection {
	d := ui.Inspection{Now: now}
	for _, name := range names {
		d.Reports = append(d.Reports, inspect.DescribeAll(name, objects(t, name), now)...)
	}
	return d
}

// verification verifies each file; change asks for more than trust.
func verification(t testing.TB, change func(*inspect.Options), names ...string) ui.Verification {
	d := ui.Verification{Now: now}
	for _, name := range names {
		targets, between := inspect.Targets(inspect.Certificates(objects(t, name)))
		o := inspect.Options{Roots: inspect.Certificates(objects(t, "good-root.pem")), Intermediates: between, At: now}
		change(&o)
		for _, c := range targets {
			d.Results = append(d.Results, inspect.Verify(name, c, o))
		}
	}
	return d
}

func documents(t testing.TB) map[string]ui.Document {
	nothing := func(*inspect.Options) {}
	issuing := inspect.Certificates(objects(t, "good-intermediate.pem"))
	return map[string]ui.Document{
		"status":          status(),
		"status-fine":     allFine(),
		"inspect-leaf":    inspection(t, "good-leaf.pem"),
		"inspect-several": inspection(t, "good-noise.pem", "good-request.pem", "good-crl.pem", "good-key-encrypted.pem"),
		"inspect-hostile": inspection(t, "wrong-control-characters-leaf.pem"),
		"inspect-wrong":   inspection(t, "wrong-expired-leaf.pem", "wrong-two-uris-leaf.pem", "corrupt-truncated.pem"),
		"verify-trusted":  verification(t, nothing, "good-chain.pem"),
		"verify-asked": verification(t, func(o *inspect.Options) {
			o.Name, o.EKU, o.MinRemaining = "payment.dev", inspect.EKUServerAuth, 90*24*time.Hour
		}, "good-chain.pem"),
		"verify-too-short": verification(t, func(o *inspect.Options) { o.MinRemaining = 90 * 24 * time.Hour }, "good-chain.pem"),
		"verify-refused":   verification(t, nothing, "wrong-expired-leaf.pem", "good-leaf.pem"),
		"verify-expired": verification(t, func(o *inspect.Options) {
			o.At, o.Intermediates = now.AddDate(0, 2, 0), issuing
		}, "good-leaf.pem", "wrong-control-characters-leaf.pem"),
		"verify-nothing": ui.Verification{Now: now},
	}
}

// TestGolden holds text and JSON of each document.
func TestGolden(t *testing.T) {
	for name, d := range documents(t) {
		var text, data bytes.Buffer
		if err := ui.Text(&text, d, ui.Options{UTF8: true}); err != nil {
			t.Fatal(err)
		}
		if err := ui.JSON(&data, d); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", text.Bytes())
		golden(t, name+".json", data.Bytes())
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("../../../testdata/golden", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is no longer what it was; go test -update writes it anew. Now:\n%s", name, got)
	}
}

// TestShape holds what is true of every document at 80 columns.
func TestShape(t *testing.T) {
	for name, d := range documents(t) {
		for _, o := range []ui.Options{{UTF8: true}, {}, {UTF8: true, Color: true}} {
			var out bytes.Buffer
			if err := ui.Text(&out, d, o); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				line = strings.TrimSuffix(line, "\n")
				if lipgloss.Width(line) > 80 {
					t.Errorf("%s: %d columns: %s", name, lipgloss.Width(line), line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("%s: a line ends in blanks: %q", name, line)
				}
			}
			if !o.Color && bytes.ContainsRune(out.Bytes(), 0x1b) {
				t.Errorf("%s: colour without leave", name)
			}
			if !o.UTF8 && bytes.ContainsFunc(out.Bytes(), func(r rune) bool { return r > unicode.MaxASCII }) {
				t.Errorf("%s: not ASCII: %s", name, out.String())
			}
		}
	}
}

// TestArrow keeps a certificate from drawing a path of its own.
func TestArrow(t *testing.T) {
	r := inspect.Result{Source: "a.pem", Trusted: true, Paths: []inspect.Path{{Certificates: []inspect.Member{{Name: "payment ← Mesh Root CA"}, {Name: "Root"}}}}}
	var out bytes.Buffer
	if err := ui.Text(&out, ui.Verification{Results: []inspect.Result{r}}, ui.Options{UTF8: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"payment ← Mesh Root CA" ← Root`) {
		t.Error(out.String())
	}
}

// TestLists are lists in JSON, also of nothing.
func TestLists(t *testing.T) {
	for _, d := range []ui.Document{ui.Inspection{}, ui.Verification{}} {
		var out bytes.Buffer
		if err := ui.JSON(&out, d); err != nil {
			t.Fatal(err)
		}
		if want := `"schema": "meshpki/` + d.Schema() + `/v1"`; !strings.Contains(out.String(), want) || !strings.Contains(out.String(), `"data": []`) {
			t.Error(out.String())
		}
	}
}

// TestEscapedJSON gives a program back what stood in the certificate.
func TestEscapedJSON(t *testing.T) {
	const text = "a\x7f\u0085\u009b\u202e\u200b\U000e0001\u00a0é漢\U0001f600\\u202e\"\n"
	var out bytes.Buffer
	if err := ui.JSON(&out, ui.Inspection{Reports: []inspect.Report{{Source: text}}}); err != nil {
		t.Fatal(err)
	}
	if bad := hidden(out.Bytes()); bad != "" {
		t.Errorf("%s in %s", bad, out.String())
	}
	var back struct{ Data []struct{ Source string } }
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Data[0].Source != text {
		t.Errorf("%v: %q", err, back.Data[0].Source)
	}
	if !strings.Contains(out.String(), "é漢\U0001f600") {
		t.Error("characters that can be seen are escaped")
	}
}

// hidden finds a character that must not reach a terminal.
func hidden(out []byte) string {
	for i := 0; i < len(out); {
		r, n := utf8.DecodeRune(out[i:])
		if r != '\n' && !unicode.IsPrint(r) || r == utf8.RuneError && n == 1 {
			return fmt.Sprintf("%#x", out[i:i+n])
		}
		i += n
	}
	return ""
}

// FuzzInspection: whatever is read, nothing unseen comes out, in text or JSON.
func FuzzInspection(f *testing.F) {
	entries, err := os.ReadDir("../../../testdata/certs")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		f.Add(fixture(f, e.Name()))
	}
	f.Add([]byte("-----BEGIN \x1b[2J\u202e-----\nAAAA\n-----END x\x07-----\n"))
	f.Add([]byte("-----BEGIN A\xff\u009b-----\nAAAA\n-----END A\xff\u009b-----\n"))
	roots := inspect.Certificates(objects(f, "good-root.pem"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := inspect.Parse(data)
		if err != nil {
			return
		}
		docs := []ui.Document{ui.Inspection{Reports: inspect.DescribeAll("in\x1bput", list, now), Now: now}}
		certs := inspect.Certificates(list)
		targets, between := inspect.Targets(certs)
		v := ui.Verification{Now: now}
		for _, c := range targets {
			o := inspect.Options{Roots: slices.Concat(roots, between), Intermediates: certs, At: now, Name: "a\x1b", Email: "b\x07", SPIFFEID: "c\u202e", TrustDomain: "d\x9b", EKU: "e\r"}
			v.Results = append(v.Results, inspect.Verify("f\x1b", c, o))
		}
		for _, d := range append(docs, v) {
			for _, o := range []ui.Options{{UTF8: true}, {}} {
				var out bytes.Buffer
				if err := ui.Text(&out, d, o); err != nil {
					t.Fatal(err)
				}
				if bad := hidden(out.Bytes()); bad != "" {
					t.Errorf("%s in %q", bad, out.String())
				}
			}
			var out bytes.Buffer
			if err := ui.JSON(&out, d); err != nil {
				t.Fatal(err)
			}
			if bad := hidden(out.Bytes()); bad != "" || !json.Valid(out.Bytes()) {
				t.Errorf("%s in %q", bad, out.String())
			}
		}
	})
}
