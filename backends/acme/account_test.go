package acme

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// The account's key is kept like a CA's: for its owner alone, and encrypted where
// there is a passphrase; the account is found again by it.
func TestAccountKey(t *testing.T) {
	t.Parallel()
	for _, passphrase := range []string{"", "a passphrase of the authority's"} {
		s := newServer(t)
		a := s.authority(t, func(a *Authority) {
			a.options.Passphrase = func(string) ([]byte, error) { return []byte(passphrase), nil }
		})
		want(t, a, order(t, "payment.example.com"))
		info, err := os.Stat(a.keyPath())
		if err != nil || info.Mode().Perm() != 0o600 && os.PathSeparator == '/' {
			t.Fatalf("%v, %v", info, err)
		}
		data, err := os.ReadFile(a.keyPath())
		if err != nil || strings.Contains(string(data), "ENCRYPTED") != (passphrase != "") {
			t.Errorf("with passphrase %q it is %.40q, %v", passphrase, data, err)
		}
		if key, _, err := a.accountKey(); err != nil || len(s.accounts) != 1 || key == nil {
			t.Errorf("%d accounts, %v", len(s.accounts), err)
		}
		// Another run finds the account; without the passphrase it gets no further.
		b := s.plain(t, filepath.Dir(a.settings.Roots))
		b.options.Dir, b.options.Passphrase = a.options.Dir, a.options.Passphrase
		want(t, b, order(t, "payment.example.com"))
		if len(s.accounts) != 1 || s.count("POST account") != 2 {
			t.Errorf("%d accounts after %d requests", len(s.accounts), s.count("POST account"))
		}
		c := s.plain(t, filepath.Dir(a.settings.Roots))
		c.options.Dir = a.options.Dir
		if _, err := obtain(t, c, order(t, "payment.example.com")); (err == nil) != (passphrase == "") {
			t.Errorf("without the passphrase %q: error %v", passphrase, err)
		}
	}
}

// A key that the settings name is used, and never made.
func TestAccountKeyElsewhere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	name := filepath.Join(t.TempDir(), "account.key")
	a := s.authority(t, func(a *Authority) { a.settings.AccountKeyFile = name })
	if _, err := obtain(t, a, order(t, "payment.example.com")); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v", err)
	}
	key, err := ca.NewKey(ca.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	data, err := pemfile.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, a, order(t, "payment.example.com"))
}

// A server that demands an external account binding gets one, or the answer is what
// is missing.
func TestExternalAccountBinding(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.eab = true
	if _, err := obtain(t, s.authority(t, nil), order(t, "payment.example.com")); err == nil || !strings.Contains(err.Error(), "under eab") {
		t.Errorf("error %v", err)
	} else if _, refused := ca.IsRefusal(err); !refused {
		t.Errorf("error %v is no refusal", err)
	}
	name := filepath.Join(t.TempDir(), "hmac")
	secret := []byte{0xfb, 0xff, 0xfe, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	with := func(text string) *Authority {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.authority(t, func(a *Authority) { a.settings.EABKeyID, a.settings.EABKeyFile = "kid-1", name })
	}
	for _, text := range []string{base64.RawURLEncoding.EncodeToString(secret) + "\n", base64.StdEncoding.EncodeToString(secret)} {
		want(t, with(text), order(t, "payment.example.com"))
	}
	for _, account := range s.accounts {
		if !strings.Contains(account.bound, `"kid-1"`) {
			t.Errorf("it is bound by %s", account.bound)
		}
	}
	_, err := obtain(t, with("not base64, and secret"), order(t, "payment.example.com"))
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v", err)
	}
}

// No secret gets into what is kept outside keys/, into an error or onto the wire.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.eab = true
	hmac := base64.RawURLEncoding.EncodeToString([]byte("the key of a binding"))
	name := filepath.Join(t.TempDir(), "hmac")
	if err := os.WriteFile(name, []byte(hmac), 0o600); err != nil {
		t.Fatal(err)
	}
	const passphrase = "a passphrase of the authority's"
	s.renewal = window(0, 0)
	a := s.authority(t, func(a *Authority) {
		a.settings.EABKeyID, a.settings.EABKeyFile = "kid-1", name
		a.options.Passphrase = func(string) ([]byte, error) { return []byte(passphrase), nil }
	})
	o := order(t, "payment.example.com")
	var kept [][]byte
	o.Pending = func(r []byte) error { kept = append(kept, r); return nil }
	c := want(t, a, o)
	a.renewal(t.Context(), c.Leaf())
	s.problem = func(path string) *problemDocument {
		if path == "order" {
			return &problemDocument{"malformed", "no", 400, ""}
		}
		return nil
	}
	_, failed := obtain(t, a, order(t, "ledger.example.com"))
	kept = append(kept, []byte(failed.Error()))
	for _, body := range s.bodies {
		kept = append(kept, []byte(body))
	}
	err := filepath.WalkDir(a.options.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		kept = append(kept, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := a.accountKey()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := pemfile.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{[]byte(hmac), []byte(passphrase), bytes.TrimSpace(bytes.Split(plain, []byte("\n"))[1])}
	for _, text := range kept {
		for i, secret := range secrets {
			if bytes.Contains(text, secret) {
				t.Errorf("secret %d is in %q", i+1, text)
			}
		}
	}
	if len(kept) < 8 {
		t.Errorf("only %d texts were looked at", len(kept))
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"https://acme.example.com/directory":      "",
		"http://127.0.0.1:14000/dir":              "",
		"http://localhost:14000/dir":              "",
		"http://acme.example.com/directory":       "is not asked without TLS",
		"acme.example.com":                        "is no ACME server",
		"ftp://acme.example.com/":                 "is no ACME server",
		"":                                        "is no ACME server",
		"https://user:secret@acme.example.com/":   "secrets do not stand in a reference",
		"https://%zz":                             "is no ACME server",
		"https:///directory":                      "is no ACME server",
		"https://[::1]:14000/directory":           "",
		"https://acme-v02.api.letsencrypt.org/di": "",
	} {
		_, err := Open(t.Context(), ref, backends.Options{})
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@")) {
			t.Errorf("%q: error %v, want %q", ref, err, want)
		}
	}
}

// A server that was set up anew knows no account: it is made again by the same order.
func TestAccountIsLost(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.authority(t, nil)
	want(t, a, order(t, "payment.example.com"))
	s.mu.Lock()
	clear(s.accounts)
	s.mu.Unlock()
	want(t, a, order(t, "payment.example.com"))
	if len(s.accounts) != 1 {
		t.Errorf("%d accounts", len(s.accounts))
	}
}
