package config

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// fill repeats a text up to the largest manifest that is read.
func fill(head, text string) string {
	return head + strings.Repeat(text, (pemfile.MaxSize-len(head))/len(text))
}

// laughs is a list of lists of lists, each the one before it ten times over.
func laughs(levels int) string {
	var b strings.Builder
	b.WriteString("apiVersion: meshpki/v1\nservices:\n  - name: a\n    dns: &a0 [a.b]\n    ip:\n")
	for i := range levels {
		alias := fmt.Sprintf("*a%d, ", i)
		fmt.Fprintf(&b, "      - &a%d [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(alias, 10), ", "))
	}
	return b.String()
}

// wide is many services, each with a long list that is written once.
func wide() string {
	var b strings.Builder
	b.WriteString("apiVersion: meshpki/v1\nservices:\n  - name: a\n    dns: &d [" + strings.TrimSuffix(strings.Repeat("a.b, ", 4000), ", ") + "]\n")
	for i := range 2_000 {
		fmt.Fprintf(&b, "  - {name: a%d, dns: *d}\n", i)
	}
	return b.String()
}

// Each of these would cost a reader that trusts its YAML library gigabytes,
// minutes, or its stack.
func TestParseIsBounded(t *testing.T) {
	const head = "apiVersion: meshpki/v1\n"
	const large = ":1: one entry of more than 64 KiB"
	const block = "a text over several lines (| or >): everything in a manifest fits one line"
	for name, c := range map[string]struct{ src, want string }{
		"laughs":              {laughs(9), `m:10:19: one entry that stands for more than 32768 values with its aliases`},
		"wide":                {wide(), "m:529:23: the aliases up to this one stand for more than 2097152 values"},
		"open brackets":       {fill(head+"backend: ", "["), "m:2" + large},
		"some brackets":       {head + "backend: " + strings.Repeat("[", 60_000), "m:2:42: lists and keys more than 32 deep"},
		"open braces":         {fill("", "{a: "), "m:1" + large},
		"dashes":              {fill(head+"backends:\n  ", "- "), "m:2" + large},
		"some dashes":         {head + "services:\n  " + strings.Repeat("- ", 30_000) + "a\n", "m:3:67: lists and keys more than 32 deep"},
		"dashes in lines":     {head + "backends:\n" + strings.Repeat(" -\n", 20_000), "m:35:2: lists and keys more than 32 deep"},
		"keys":                {head + "services:\n  -" + strings.Repeat(" a: b\n   ", 6_000), "m:4099:6: one entry with more than 4096 keys, or more than 16384 words and signs in all"},
		"anchors":             {head + "backend: " + strings.Repeat("&a ", 20_000) + "b\n", "m:2:13: not YAML: two anchors for one value"},
		"tags":                {head + "backend: " + strings.Repeat("!a ", 20_000) + "b\n", `m:2:10: a YAML tag, "!a": a manifest needs none; what must be a text stands in quotes`},
		"questions":           {head + "backend: " + strings.Repeat("? ", 30_000) + "b\n", `m:2:10: "?" has no meaning in a manifest`},
		"empty lines in text": {head + "backend: |\n  a" + strings.Repeat("\n", 60_000) + "  b\n", "m:2:1: " + block},
		"tabs in quotes":      {head + "backend: \"" + strings.Repeat("\t", 60_000) + "\"\n", "m:2:1: more than 64 tabs in one line"},
		"comments":            {fill("", "# nothing\n"), "m: empty: a manifest has at least the line apiVersion: meshpki/v1"},
		"empty lines":         {fill(head+"backend: a\n", "\n"), `m:2:10: backend: there is no backend "a": a name under backends, local, or a reference such as vault:<mount>/<role> is expected`},
		"documents":           {fill("", "---\n"), "m:2:1: a second YAML document: a manifest is one"},
		"items of nothing":    {fill(head+"services:\n", "-\n"), "m:3:1: services[0]: no value: give it one, or leave the key out"},
		"nested by lines":     {head + nested(), `m:4:3: backends.backends: unknown key "backends"`},
	} {
		t.Run(name, func(t *testing.T) {
			src := []byte(c.src)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := Parse("m", src)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil || err.Error() != c.want {
				t.Errorf("error\n%v\nwant\n%s", err, c.want)
			}
			// Far above what it takes, far below what it would take without the bounds.
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 1024 {
				t.Errorf("%d MiB were allocated", used)
			}
			if took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// nested is keys within keys, as deep as one piece can hold.
func nested() string {
	var b strings.Builder
	for i := 0; b.Len() < maxPiece*9/10; i++ {
		b.WriteString(strings.Repeat(" ", i) + "backends:\n")
	}
	return b.String()
}

// A panic of the library is an error like any other.
func TestReadSurvivesThePanicOfTheLibrary(t *testing.T) {
	n, err := contain(piece{line: 7}, func(piece) (*node, *Error) {
		var nothing *node
		return nothing.items[0], nil
	})
	if n != nil || err == nil || err.Error() != ":7:1: not YAML: the entry that starts here cannot be read" {
		t.Errorf("%v, %v", n, err)
	}
}

// Texts that break off in the middle of a thing.
func TestReadRefusesFragments(t *testing.T) {
	for _, src := range []string{"a: &", "a: *", "a: &\n", "- &a", "a: [&", "{&", "{*", "{a: &b", "a: {<<", "a:\n  <<: *", "key:\n}", "{? {? ", "*-0", ">\n>", "&{0"} {
		tr := newReader().tree
		n, err := tr.read(piece{line: 7, text: src})
		if err == nil || n != nil || err.Line < 7 || err.Column < 1 || err.Problem == "" {
			t.Errorf("%q gave %v, %+v", src, n, err)
		}
	}
}

func TestParseReadsManyServices(t *testing.T) {
	const many = 3_000
	var b strings.Builder
	b.WriteString("apiVersion: meshpki/v1\nservices:\n")
	for i := range many {
		fmt.Fprintf(&b, "  - name: svc-%d\n    dns: [svc-%d.example.com]\n    outputs:\n      - to: /etc/%d\n", i, i, i)
	}
	m, err := Parse("m", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Services) != many {
		t.Fatalf("%d services were read, %d were written", len(m.Services), many)
	}
	for i, s := range m.Services {
		if s.Name != fmt.Sprintf("svc-%d", i) || s.Outputs[0].To != fmt.Sprintf("/etc/%d", i) || s.Line != 3+4*i || s.Column != 5 {
			t.Fatalf("service %d was read as %+v", i, s)
		}
	}
	b.WriteString("  - name: svc-7\n")
	_, err = Parse("m", []byte(b.String()))
	if e, ok := errors.AsType[*Error](err); !ok || e.Line != 3+4*many || e.Problem != "default/svc-7 stands twice: here and at line 31" {
		t.Errorf("a service that stands twice gave %v", err)
	}
}

func BenchmarkParse(b *testing.B) {
	var src strings.Builder
	src.WriteString("apiVersion: meshpki/v1\nservices:\n")
	for i := range 1000 {
		fmt.Fprintf(&src, "  - name: svc-%d\n    namespace: prod\n    dns: [svc-%d.example.com]\n    outputs:\n      - to: /etc/%d\n        mode: \"0640\"\n", i, i, i)
	}
	data := []byte(src.String())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("m", data); err != nil {
			b.Fatal(err)
		}
	}
}
