package renew

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// hookFacts are those of a renewal that these tests make up.
func hookFacts() HookFacts {
	return HookFacts{
		Service: "payment", Namespace: "prod", Places: []string{"/etc/payment/tls", "/srv/b"},
		Files:  []string{"/etc/payment/tls/tls.crt", "/etc/payment/tls/tls.key"},
		Serial: "0a0b", PreviousSerial: "0102", Reason: "its renewal window has begun",
		NotAfter: time.Date(2026, 12, 21, 12, 0, 0, 0, time.UTC),
		PEM:      func() ([]byte, error) { return []byte("PRIVATE KEY"), nil },
		Lookup: func(name string) (string, bool) {
			value, ok := map[string]string{"MINE": "my own", "EMPTY": ""}[name]
			return value, ok
		},
	}
}

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "as-a-hook" {
		os.Exit(asHook(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

// hook is a step that runs this very test binary as its program.
func hook(t *testing.T, what string, more ...string) Step {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Step{Exec: append([]string{program, "as-a-hook", what}, more...), Timeout: 20 * time.Second}
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("MESHPKI_PASSPHRASE", "correct horse")
	t.Setenv("LD_SOMETHING", "x")
	s := hook(t, "environ")
	s.Env = []string{"MINE", "EMPTY", "UNSET"}
	out, err := s.Run(t.Context(), hookFacts())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"EMPTY=",
		"MESHPKI_HOOK_FILES=/etc/payment/tls/tls.crt\n/etc/payment/tls/tls.key",
		"MESHPKI_HOOK_NAMESPACE=prod",
		"MESHPKI_HOOK_NOT_AFTER=2026-12-21T12:00:00Z",
		"MESHPKI_HOOK_PLACES=/etc/payment/tls\n/srv/b",
		"MESHPKI_HOOK_PREVIOUS_SERIAL=0102",
		"MESHPKI_HOOK_REASON=its renewal window has begun",
		"MESHPKI_HOOK_SERIAL=0a0b",
		"MESHPKI_HOOK_SERVICE=payment",
		"MINE=my own",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	got = slices.DeleteFunc(got, func(v string) bool { return strings.HasPrefix(v, "SYSTEMROOT=") || strings.HasPrefix(v, "SystemRoot=") })
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the environment is\n%q\nwant\n%q", got, want)
	}
}

// TestWithoutLookup gives a hook nothing of our own environment.
func TestWithoutLookup(t *testing.T) {
	t.Setenv("MINE", "real")
	s, f := hook(t, "environ"), hookFacts()
	s.Env, f.Lookup = []string{"MINE"}, nil
	out, err := s.Run(t.Context(), f)
	if err != nil || strings.Contains(string(out), "MINE=") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestExitCode(t *testing.T) {
	out, err := hook(t, "exit", "3").Run(t.Context(), hookFacts())
	const want = `ended with exit code 3; it said "the last line\x1b[31m"`
	if err == nil || !strings.HasSuffix(err.Error(), want) || string(out) != "first\nthe last line\x1b[31m\n\n" {
		t.Errorf("%q, %v; want %s", out, err, want)
	}
}

func TestArguments(t *testing.T) {
	words := []string{"", "a b", "$HOME", "`id`", "*", `"`, "'", "\\", "ä\n"}
	out, err := hook(t, "arguments", words...).Run(t.Context(), hookFacts())
	if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); err != nil || !slices.Equal(got, words) {
		t.Errorf("%q, %v; want %q", got, err, words)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	if _, err := hook(t, "hang").Run(ctx, hookFacts()); err == nil || !strings.Contains(err.Error(), "was ended: ") {
		t.Error(err)
	}
}
