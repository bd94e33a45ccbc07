package pemfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// certificates makes n self-signed certificates.
func certificates(t testing.TB, n int) []*x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var out []*x509.Certificate
	for i := range n {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprint("test ", i)},
			NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<31, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cert)
	}
	return out
}

func sameCertificates(a, b []*x509.Certificate) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}

func TestCertificatesRoundTrip(t *testing.T) {
	certs := certificates(t, 3)
	data := EncodeCertificates(certs...)
	if !bytes.HasPrefix(data, []byte("-----BEGIN CERTIFICATE-----\n")) || !bytes.HasSuffix(data, []byte("-----END CERTIFICATE-----\n")) ||
		bytes.Contains(data, []byte("\n\n")) || bytes.Contains(data, []byte("\r")) {
		t.Errorf("not just one block behind the other:\n%s", data)
	}
	for name, text := range map[string]string{
		"as written":  string(data),
		"CRLF":        strings.ReplaceAll(string(data), "\n", "\r\n"),
		"no last LF":  strings.TrimRight(string(data), "\n"),
		"with text":   "subject=test\n\n" + strings.ReplaceAll(string(data), "-----BEGIN", "\nissuer=test\n-----BEGIN") + "\nthe end\n",
		"with a key":  opensslEC + string(data) + opensslRSA,
		"with others": strings.Replace(string(data), "-----BEGIN", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n-----BEGIN", 2),
	} {
		if got, err := Certificates([]byte(text)); err != nil || !sameCertificates(got, certs) {
			t.Errorf("%s: %d certificates, %v", name, len(got), err)
		}
	}
	if got := EncodeCertificates(); len(got) != 0 {
		t.Errorf("no certificates are %q", got)
	}
}

func TestNoCertificate(t *testing.T) {
	for _, text := range []string{"", " \n", "hello", opensslEC, "-----BEGIN CERTIFICATE-----\n", "-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n"} {
		if got, err := Certificates([]byte(text)); !errors.Is(err, ErrNoCertificate) || got != nil {
			t.Errorf("%.30q: %v, %v; want ErrNoCertificate", text, got, err)
		}
	}
}

// TestBrokenCertificate: one that does not parse spoils the whole, and the error
// says which one it is and in which line its BEGIN stands.
func TestBrokenCertificate(t *testing.T) {
	good := string(EncodeCertificates(certificates(t, 1)...))
	broken := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	for _, text := range []string{
		broken, "\n" + broken, good + broken, good + good + broken, good + "text\n\n" + broken + good, opensslEC + broken,
		"-----BEGIN nothing\n" + good + broken, good + "x -----BEGIN y\n" + broken, "\r\n\r\n" + broken,
	} {
		number := strings.Count(text[:strings.Index(text, broken)], "-----END CERTIFICATE") + 1
		line := strings.Count(text[:strings.Index(text, broken)], "\n") + 1
		want := fmt.Sprintf("certificate %d, at line %d: ", number, line)
		got, err := Certificates([]byte(text))
		if err == nil || got != nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%d certificates, %v; want an error that begins with %q", len(got), err, want)
		}
	}
}

// TestManyBlocks: the time that a file takes grows with its size and not with the
// square of it, whatever it is made of.
func TestManyBlocks(t *testing.T) {
	good := EncodeCertificates(certificates(t, 1)...)
	for name, unit := range map[string]string{
		"empty blocks": "-----BEGIN A-----\n-----END A-----\n",
		"begins":       "-----BEGIN A-----\n",
		"ends":         "-----END A-----\n",
		"line feeds":   "\n",
		"dashes":       "-----",
	} {
		data := append(bytes.Repeat([]byte(unit), MaxSize/4/len(unit)), '\n')
		start := time.Now()
		certs, err := Certificates(append(data, good...))
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("4 MiB of %s took %s", name, d)
		}
		if err != nil || len(certs) != 1 {
			t.Errorf("behind 4 MiB of %s: %d certificates, %v", name, len(certs), err)
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	full := bytes.Repeat([]byte("x"), MaxSize)
	if got, err := ReadFile(write("full", full)); err != nil || !bytes.Equal(got, full) {
		t.Errorf("16 MiB: %d bytes, %v", len(got), err)
	}
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct {
		name string
		want error
	}{
		{write("large", append(full, 'x')), ErrTooLarge},
		{write("empty", nil), ErrEmpty},
		{write("blank", []byte(" \n\t\r\n")), ErrEmpty},
		{missing, fs.ErrNotExist},
		{filepath.Join(missing, "below"), fs.ErrNotExist},
	} {
		got, err := ReadFile(c.name)
		if !errors.Is(err, c.want) || got != nil || strings.Count(err.Error(), c.name) != 1 {
			t.Errorf("%s: %d bytes, %v; want %v with the name once", filepath.Base(c.name), len(got), err, c.want)
		}
	}
	if got, err := ReadFile(dir); err == nil || got != nil || strings.Count(err.Error(), dir) != 1 {
		t.Errorf("a directory: %d bytes, %v", len(got), err)
	}
}

// endless never ends; Read must stop by itself.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += int64(len(p))
	return len(p), nil
}

func TestRead(t *testing.T) {
	e := &endless{}
	if got, err := Read(e, "standard input"); !errors.Is(err, ErrTooLarge) || got != nil || e.read > 2*MaxSize {
		t.Errorf("an endless stream: %d bytes of %d read, %v", len(got), e.read, err)
	}
	broken := errors.New("the line went dead")
	for name, r := range map[string]io.Reader{
		"at once":   iotest.ErrReader(broken),
		"half-way":  io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)),
		"with path": iotest.ErrReader(&fs.PathError{Op: "read", Path: "standard input", Err: broken}),
	} {
		got, err := Read(r, "standard input")
		if !errors.Is(err, broken) || got != nil || err.Error() != "read standard input: the line went dead" {
			t.Errorf("broken %s: %q, %v", name, got, err)
		}
	}
	if got, err := Read(iotest.OneByteReader(strings.NewReader("a\nb")), "x"); err != nil || string(got) != "a\nb" {
		t.Errorf("byte by byte: %q, %v", got, err)
	}
}

func FuzzCertificates(f *testing.F) {
	data := EncodeCertificates(certificates(f, 2)...)
	f.Add(data)
	f.Add(data[:len(data)-40])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN "))
	f.Add([]byte(opensslEC))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, source := range [][]byte{data, pem.EncodeToMemory(&pem.Block{Type: TypeCertificate, Bytes: data})} {
			certs, err := Certificates(source)
			if (len(certs) == 0) == (err == nil) {
				t.Fatalf("%d certificates beside %v", len(certs), err)
			}
			if err != nil {
				continue
			}
			if again, err := Certificates(EncodeCertificates(certs...)); err != nil || !sameCertificates(again, certs) {
				t.Fatalf("certificates that were read do not come back: %v", err)
			}
		}
	})
}
