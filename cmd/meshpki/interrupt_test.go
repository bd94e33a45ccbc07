package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/command"
)

// stopper ends a context once so much has been shown.
type stopper struct {
	mu    sync.Mutex
	text  bytes.Buffer
	after string
	stop  func()
}

func (s *stopper) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if strings.Contains(s.text.String(), s.after) {
		s.stop()
	}
	return len(p), nil
}

// issue --file shows on a terminal how far it is; interrupted it says so, and the next
// run goes on with the others: nothing is made twice.
func TestIssueFileGoesOn(t *testing.T) {
	const n = 60
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	dir := filepath.Join(t.TempDir(), "pki")
	list := filepath.Join(filepath.Dir(dir), "mesh.yaml")
	var text strings.Builder
	text.WriteString("apiVersion: meshpki/v1\nservices:\n")
	for i := range n {
		fmt.Fprintf(&text, "- name: s%d\n", i)
	}
	if err := os.WriteFile(list, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	mainAt(t, now, "ca", "init", "--dir", dir)

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	shown := &stopper{after: " of 60 ", stop: stop}
	var out bytes.Buffer
	env := world([]string{"meshpki", "issue", "--file", list, "--dir", dir, "--json"}, func() time.Time { return now })
	env.Stdout, env.Stderr, env.Getenv, env.Workers = &out, shown, func(string) string { return "" }, 2
	env.StdinTTY, env.StdoutTTY, env.StderrTTY = false, false, true
	if code := command.Main(ctx, env); code != 130 {
		t.Fatalf("exit code %d, %s", code, shown.text.String())
	}
	if !strings.Contains(shown.text.String(), "of 60 were done; run again, it goes on with the others") {
		t.Errorf("it says\n%q", shown.text.String())
	}
	first := strings.Count(out.String(), `"state": "issued"`)
	if first == 0 || first == n || !strings.HasSuffix(out.String(), "]\n}\n") {
		t.Fatalf("%d were issued at first: %s", first, out.String())
	}
	again, code := mainAt(t, now, "issue", "--file", list, "--dir", dir, "--json")
	issued, fresh := strings.Count(again, `"state": "issued"`), strings.Count(again, `"state": "fresh"`)
	if code != 0 || issued+fresh != n || fresh < first {
		t.Errorf("%d issued at first, then %d and %d fresh, of %d", first, issued, fresh, n)
	}
	log, _ := mainAt(t, now, "log", "show", "--dir", dir, "--json")
	if made := strings.Count(log, `"kind": "leaf"`); made != n {
		t.Errorf("the ledger has %d certificates for %d services", made, n)
	}
}
