//go:build integration && linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestIntegrationSizes gives inspect and verify what is larger, deeper or dearer than it
// looks: each is refused or handled within 512 MB, measured of the process, and within
// seconds of processor time.
func TestIntegrationSizes(t *testing.T) {
	dir := t.TempDir()
	program := meshpki(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SubjectKeyId: []byte{1}}
	template.Subject.CommonName = "Root"
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	file := func(name string, write func(w *bufio.Writer)) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		must(t, err)
		w := bufio.NewWriter(f)
		write(w)
		must(t, w.Flush())
		must(t, f.Close())
		return path
	}
	times := func(n int, data []byte) func(w *bufio.Writer) {
		return func(w *bufio.Writer) {
			for range n {
				_, _ = w.Write(data)
			}
		}
	}
	const mega = 1 << 20
	roots := file("root.pem", times(1, one))
	for name, c := range map[string]struct {
		write func(w *bufio.Writer)
		says  string // on either stream
	}{
		"100 MB of nothing":                 {times(100, make([]byte, mega)), "larger than 80 MiB"},
		"79 MB of noise":                    {times(79, bytes.Repeat([]byte("noise\n"), mega/6)), "neither PEM"},
		"79 MB of lines that begin a block": {times(79, bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\n"), mega/28)), "more than 25000 objects"},
		"79 MB of PEM headers": {func(w *bufio.Writer) {
			_, _ = w.WriteString("-----BEGIN CERTIFICATE-----\n")
			times(79, bytes.Repeat([]byte("Header: value\n"), mega/14))(w)
			_, _ = w.WriteString("\n-----END CERTIFICATE-----\n")
		}, "empty"},
		"one header of 79 MB": {func(w *bufio.Writer) {
			_, _ = w.WriteString("-----BEGIN CERTIFICATE-----\nA: ")
			times(79, bytes.Repeat([]byte("x"), mega))(w)
			_, _ = w.WriteString("\n\nMAA=\n-----END CERTIFICATE-----\n")
		}, "not a well-formed certificate"},
		"10,000 certificates": {times(10_000, one), "Root"},
		"a CRL of 50 MB":      {func(w *bufio.Writer) { writeCRL(t, w, der, key, 1_400_000) }, "CRL of CN=Root, 1400000 revoked"},
		"a million nothings in PKCS#7": {func(w *bufio.Writer) {
			_, _ = w.Write(pkcs7Head(t, 40*mega))
			times(40, bytes.Repeat([]byte{0x30, 0}, mega/2))(w)
		}, "more than 25000 objects"},
		"indefinite lengths, one in the other":   {times(79, bytes.Repeat([]byte{0x30, 0x80}, mega/2)), "DER"},
		"levels, each with its length":           {func(w *bufio.Writer) { _, _ = w.Write(nested(200_000)) }, ""},
		"PKCS#12 of two thousand million rounds": {func(w *bufio.Writer) { _, _ = w.Write(dearStore(t)) }, "rounds"},
		"JKS of a million entries":               {func(w *bufio.Writer) { _, _ = w.Write(javaStore(0xfeedfeed, 1<<30, 2, 0x7fffffff)) }, "keystore"},
		"JCEKS with a serialized object":         {func(w *bufio.Writer) { _, _ = w.Write(javaStore(0xcececece, 1, 3, 0x7fffffff)) }, "keystore"},
		"aliases of aliases in YAML":             {func(w *bufio.Writer) { _, _ = w.WriteString(laughs(9)) }, ""},
		"JSON of a million levels":               {func(w *bufio.Writer) { _, _ = w.WriteString(`{"keys":` + strings.Repeat("[", mega) + "}") }, "well-formed JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file("hostile", c.write)
			for _, args := range [][]string{{"inspect", path}, {"inspect", path, "--json", "--lint"}, {"verify", path, "--roots", roots}, {"verify", roots, "--roots", path}, {"verify", roots, "--roots", roots, "--crl", path}} {
				says := ""
				if len(args) == 2 {
					says = c.says
				}
				bounded(t, program, args, says)
			}
		})
	}
}

// bounded runs a program that must end by itself, within its bounds.
func bounded(t *testing.T, program string, args []string, says string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = neutralEnv()
	out, _ := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	memory := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	t.Logf("%s: exit code %d, %d MB, %v of processor time", strings.Join(args[:1], " "), code, memory, cpu.Round(10*time.Millisecond))
	if code != 0 && code != 1 && code != 3 {
		t.Errorf("%v: exit code %d: %.500s", args, code, out)
	}
	if memory > 512 || cpu > 20*time.Second {
		t.Errorf("%v takes %d MB and %v", args, memory, cpu)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(out)), " "), says) {
		t.Errorf("%v does not say %q: %.500s", args, says, out)
	}
}

// writeCRL writes a CRL with so many entries and holds none of it: Linux counts the
// memory of the process that started another for that one's.
func writeCRL(t *testing.T, w io.Writer, issuer []byte, key *ecdsa.PrivateKey, entries int) {
	t.Helper()
	ca, err := x509.ParseCertificate(issuer)
	must(t, err)
	algorithm := []byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}
	moment := func(at time.Time) []byte { return append([]byte{0x17, 13}, at.UTC().Format("060102150405Z")...) }
	number := []byte{0xa0, 14, 0x30, 12, 0x30, 10, 6, 3, 0x55, 0x1d, 0x14, 4, 3, 2, 1, 1}
	entry := append([]byte{0x30, 33, 2, 16}, make([]byte, 16)...)
	entry = append(entry, moment(time.Now())...)
	before := bytes.Join([][]byte{{2, 1, 1}, algorithm, ca.RawSubject, moment(time.Now().Add(-time.Hour)), moment(time.Now().Add(time.Hour)), head(0x30, entries*len(entry))}, nil)
	inside := len(before) + entries*len(entry) + len(number)
	hash := sha256.New()
	sign := func() []byte {
		signature, err := ecdsa.SignASN1(rand.Reader, key, hash.Sum(nil))
		must(t, err)
		return slices.Concat(algorithm, []byte{3, byte(len(signature) + 1), 0}, signature)
	}
	write := func(to io.Writer) {
		for _, part := range [][]byte{head(0x30, inside), before} {
			_, _ = to.Write(part)
		}
		for i := range entries {
			binary.BigEndian.PutUint64(entry[4:], 1<<60)
			binary.BigEndian.PutUint64(entry[12:], uint64(i))
			_, _ = to.Write(entry)
		}
		_, _ = to.Write(number)
	}
	write(hash)
	tail := sign()
	_, err = w.Write(head(0x30, len(head(0x30, inside))+inside+len(tail)))
	must(t, err)
	write(w)
	_, err = w.Write(tail)
	must(t, err)
}

// head is the tag and length of an element.
func head(tag byte, length int) []byte {
	return binary.BigEndian.AppendUint32([]byte{tag, 0x84}, uint32(length))
}

func wrapped(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(head(tag, len(body)), body...)
}

// pkcs7Head is the start of signed data with so many bytes of certificates at its end.
func pkcs7Head(t *testing.T, size int) []byte {
	t.Helper()
	oid, err := asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2})
	must(t, err)
	version := []byte{2, 1, 1, 0x31, 0, 0x30, 0}
	const one = 6 // bytes of a head
	return slices.Concat(head(0x30, len(oid)+one+one+len(version)+one+size), oid, head(0xa0, one+len(version)+one+size),
		head(0x30, len(version)+one+size), version, head(0xa0, size))
}

// nested are sequences within each other, each with a length of its own.
func nested(levels int) []byte {
	const head = 6
	out := make([]byte, 0, levels*head)
	for i := range levels {
		out = append(out, 0x30, 0x84)
		out = binary.BigEndian.AppendUint32(out, uint32((levels-i-1)*head))
	}
	return out
}

// dearStore is PKCS#12 whose password is to be hashed for two thousand million rounds.
func dearStore(t *testing.T) []byte {
	t.Helper()
	oid := func(id ...int) []byte {
		der, err := asn1.Marshal(asn1.ObjectIdentifier(id))
		must(t, err)
		return der
	}
	dear := []byte{2, 4, 0x7f, 0xff, 0xff, 0xff}
	salt := append([]byte{4, 8}, make([]byte, 8)...)
	pbkdf2 := wrapped(0x30, oid(1, 2, 840, 113549, 1, 5, 12), wrapped(0x30, salt, dear))
	aes := wrapped(0x30, oid(2, 16, 840, 1, 101, 3, 4, 1, 42), append([]byte{4, 16}, make([]byte, 16)...))
	pbes2 := wrapped(0x30, oid(1, 2, 840, 113549, 1, 5, 13), wrapped(0x30, pbkdf2, aes))
	info := wrapped(0x30, oid(1, 2, 840, 113549, 1, 7, 1), pbes2, wrapped(0x80, make([]byte, 32)))
	encrypted := wrapped(0x30, oid(1, 2, 840, 113549, 1, 7, 6), wrapped(0xa0, wrapped(0x30, []byte{2, 1, 0}, info)))
	safe := wrapped(0x30, oid(1, 2, 840, 113549, 1, 7, 1), wrapped(0xa0, wrapped(4, wrapped(0x30, encrypted))))
	digest := wrapped(0x30, wrapped(0x30, oid(2, 16, 840, 1, 101, 3, 4, 2, 1), []byte{5, 0}), append([]byte{4, 32}, make([]byte, 32)...))
	return wrapped(0x30, []byte{2, 1, 3}, safe, wrapped(0x30, digest, salt, dear))
}

// javaStore is a Java keystore that claims to have so many entries, the first of that
// kind and of that length.
func javaStore(magic, entries, kind, length uint32) []byte {
	var b []byte
	for _, n := range []uint32{magic, 2, entries, kind} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = append(b, 0, 1, 'a')
	b = append(b, make([]byte, 8)...)
	b = binary.BigEndian.AppendUint32(b, length)
	return append(b, "\xac\xed\x00\x05sr\x00\x10java.lang.Object"...)
}

// laughs is a Secret whose data are aliases of aliases, ten times as many a level.
func laughs(levels int) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Secret\nx0: &x0 lol\n")
	for i := 1; i <= levels; i++ {
		ref := "*x" + string(rune('0'+i-1))
		b.WriteString("x" + string(rune('0'+i)) + ": &x" + string(rune('0'+i)) + " [" + strings.TrimSuffix(strings.Repeat(ref+", ", 10), ", ") + "]\n")
	}
	b.WriteString("data: {tls.crt: \"\"}\n")
	return b.String()
}
