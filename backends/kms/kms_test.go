package kms

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
)

// A URI that cannot be meant is a usage error, and what may be a secret in it is
// not repeated.
func TestURIsRefused(t *testing.T) {
	for ref, says := range map[string]string{
		"pkcs11:token=a;object=b?pin-value=4711":  "has a PIN in it",
		"pkcs11:token=a;object=b;pin-value=4711":  "has a PIN in it",
		"pkcs11:token=a;object=b?PIN-VALUE=4711":  "has a PIN in it",
		"pkcs11:token=a;object=b?pin-prompt=4711": "has a PIN in it",
		"pkcs11:token=a":             "without object, id",
		"pkcs11:object=a":            "without token, serial, slot-id",
		"pkcs11:":                    "without token, serial, slot-id",
		"tpmkms:name=a":              "without storage-directory",
		"tpmkms:storage-directory=a": "without name",
		"tpmkms:name=a;storage-directory=b;ak=true": "has ak, which is of no use here",
		"awskms:region=a":   "without key-id",
		"awskms:key-id=a\n": "control characters",
		"awskms:key-id=%zz": "is no key URI",
		"awskms:key-id=" + strings.Repeat("a", maxURI): "longer than 4096 bytes",
	} {
		name, _, _ := strings.Cut(ref, ":")
		_, err := Schemes()[name](t.Context(), ref, backends.KeyOptions{})
		if _, ok := errors.AsType[*backends.RefError](err); !ok || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: error %v, want one with %q", ref, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: the error has the PIN: %v", ref, err)
		}
	}
}

// A file with a PIN that cannot be read ends it, and nobody is asked instead.
func TestPINSource(t *testing.T) {
	_, err := Schemes()["pkcs11"](t.Context(), "pkcs11:token=a;object=b?pin-source=/nowhere/pin", backends.KeyOptions{PIN: func() ([]byte, error) {
		t.Error("a PIN was asked for")
		return nil, nil
	}})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/pin") {
		t.Errorf("error %v", err)
	}
}

// Every type of key that is made here can be asked for, or is refused in words.
func TestCreation(t *testing.T) {
	for _, kt := range ca.KeyTypes() {
		r, err := creation("x:", kt)
		if err != nil || strings.HasPrefix(string(kt), "rsa-") != (r.Bits > 0) {
			t.Errorf("%s: %+v, error %v", kt, r, err)
		}
	}
	if _, err := creation("x:", "ec-p521"); err == nil {
		t.Error("ec-p521 would be made")
	}
}

// aws points the SDK at a server, with credentials that are nobody's.
func aws(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "very-secret",
		"AWS_MAX_ATTEMPTS": "2", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "HTTP_PROXY": "", "http_proxy": ""} {
		t.Setenv(name, value)
	}
	return "awskms:region=eu-central-1;key-id=1234abcd"
}

// What AWS KMS answers with an error is that error, with the key that it is about;
// a key that is not there is ErrNoSuchKey, and none is made.
func TestAWSErrors(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, says string
		absent     bool
	}{
		{400, "NotFoundException", "there is no such key", true},
		{400, "AccessDeniedException", "AccessDeniedException", false},
		{400, "DisabledException", "DisabledException", false},
		{500, "KMSInternalException", "KMSInternalException", false},
	} {
		var asked atomic.Int32
		ref := aws(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if target := r.Header.Get("X-Amz-Target"); target != "TrentService.GetPublicKey" {
				t.Errorf("%s was asked for", target)
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, `{"__type":"`+c.kind+`","message":"because"}`)
		})
		for _, create := range []ca.KeyType{"", ca.ECP256} {
			_, err := Schemes()["awskms"](t.Context(), ref, backends.KeyOptions{Create: create})
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), ref) || errors.Is(err, backends.ErrNoSuchKey) != c.absent {
				t.Errorf("%s: error %v", c.kind, err)
			}
			if err != nil && strings.Contains(err.Error(), "very-secret") {
				t.Errorf("%s: the error has the credentials: %v", c.kind, err)
			}
		}
		if asked.Load() == 0 {
			t.Errorf("%s: nobody was asked", c.kind)
		}
	}
}

// Without credentials, and without anybody who answers, it ends soon and says why.
func TestAWSOutOfReach(t *testing.T) {
	ref := aws(t, func(http.ResponseWriter, *http.Request) {})
	t.Setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
	for _, what := range []string{"nobody answers", "no credentials"} {
		if what == "no credentials" {
			t.Setenv("AWS_ACCESS_KEY_ID", "")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		}
		began := time.Now()
		_, err := Schemes()["awskms"](t.Context(), ref, backends.KeyOptions{})
		if err == nil || what == "no credentials" && !strings.Contains(err.Error(), "credentials") {
			t.Errorf("%s: error %v", what, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %s", what, took)
		}
	}
}

// FuzzURI: whatever stands for a key URI is refused or read, and no PIN gets through.
func FuzzURI(f *testing.F) {
	for _, s := range []string{"pkcs11:token=a;object=b;id=01?pin-source=x", "tpmkms:name=a;storage-directory=b", "awskms:key-id=a", "pkcs11:token=a;object=b?pin%2dvalue=1", "x:"} {
		f.Add(s)
	}
	s := scheme{need: [][]string{{"token"}, {"object"}}}
	f.Fuzz(func(t *testing.T, ref string) {
		u, err := s.check("pkcs11", ref)
		if (u == nil) == (err == nil) {
			t.Fatalf("%v beside %v", u, err)
		}
		if err == nil && (u.Get("pin-value") != "" || u.Get("token") == "" || len(ref) > maxURI) {
			t.Fatalf("%q was taken for a key URI", ref)
		}
	})
}
