package command_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/meshpki/meshpki/cmd/meshpki/command"
)

// unseen finds a character that must not reach a terminal.
func unseen(out []byte) string {
	for i := 0; i < len(out); {
		r, n := utf8.DecodeRune(out[i:])
		if r != '\n' && !unicode.IsPrint(r) || r == utf8.RuneError && n == 1 {
			return fmt.Sprintf("%#x", out[i:i+n])
		}
		i += n
	}
	return ""
}

// FuzzInspectEntry gives bytes to the whole of meshpki inspect, as a terminal would: it
// always says something, ends with a code of its own, and nothing unseen gets out.
func FuzzInspectEntry(f *testing.F) {
	for _, dir := range []string{"certs", "stores"} {
		entries, err := os.ReadDir(filepath.Join("..", "..", "..", "testdata", dir))
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), "p12") || strings.Contains(e.Name(), "jks") || strings.Contains(e.Name(), "jceks") {
				continue // their passwords are hashed for long; package inspect has fuzz targets with them
			}
			if data, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", dir, e.Name())); err == nil {
				f.Add(data)
			}
		}
	}
	f.Add([]byte("-----BEGIN \x1b[2J\u202e-----\nAAAA\n-----END x\x07-----\n"))
	f.Add([]byte("apiVersion: v1\nkind: Secret\nmetadata: {name: \"a\\e[2J\"}\ndata: {tls.crt: \"!\x9b\"}\n"))
	f.Add([]byte(`{"keys":[{"use":"x509-svid","x5c":["MAA="]}],"trust_domains":{"a\u001b":{"keys":[]}}}`))
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, flags := range [][]string{{"--lint"}, {"--tree"}, {"--lint", "--json"}} {
			var stdout, stderr bytes.Buffer
			env := &command.Env{
				Args: append([]string{"meshpki", "inspect", "-", "--dir", "nowhere"}, flags...), Stdin: bytes.NewReader(data), Stdout: &stdout, Stderr: &stderr,
				Getenv: func(name string) string { return map[string]string{"LC_ALL": "C.UTF-8"}[name] }, Now: func() time.Time { return now },
			}
			code := command.Main(t.Context(), env)
			if code != 0 && code != 1 && code != 3 || stdout.Len()+stderr.Len() == 0 || (code == 1) != (stderr.Len() > 0) {
				t.Errorf("%v: exit code %d, %d bytes, and %q", flags, code, stdout.Len(), stderr.String())
			}
			if strings.Contains(stderr.String(), "internal error") {
				t.Errorf("%v: %s", flags, stderr.String())
			}
			for _, out := range [][]byte{stdout.Bytes(), stderr.Bytes()} {
				if bad := unseen(out); bad != "" {
					t.Errorf("%v: %s in %q", flags, bad, out)
				}
			}
			if len(flags) > 0 && flags[len(flags)-1] == "--json" && stdout.Len() > 0 && !json.Valid(stdout.Bytes()) {
				t.Errorf("%v: %q is no JSON", flags, stdout.String())
			}
		}
	})
}
