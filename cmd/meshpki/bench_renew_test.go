//go:build bench && unix

package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fleet is how many services are under care where a pass over fresh ones is
// measured, and due how many are renewed at once.
const due = 10_000

func fleet() int {
	if n, err := strconv.Atoi(os.Getenv("MESHPKI_BENCH_FLEET")); err == nil {
		return n
	}
	return 100_000
}

// TestBenchRenewal measures passes over many services against bare loops that do
// the least that has to be done, and prints a table. It judges nothing.
func TestBenchRenewal(t *testing.T) {
	b := newBench(t)
	n := fleet()
	b.plant(n)
	renew := b.meshpki("renew")(0)
	b.once(renew) // what is read is then in memory, for both
	var bare, pass spent
	for range 3 {
		bare.add(b.here(func() { b.readAll(n) }))
		pass.add(b.quiet(renew))
	}
	b.row(fmt.Sprintf("bare loop over %d sets: read and parse", n), bare.String(), "")
	b.row(fmt.Sprintf("renew over %d fresh services", n), pass.String(), "")
	b.ratio("  pass / bare loop", pass.wall, bare.wall, "at most 2")
	b.ratio("  the same in CPU time", pass.cpu, bare.cpu, "")
	b.row("  peak memory", fmt.Sprintf("%.0f MB", b.peak(renew)), "at most 300 MB")

	var shown, ended []float64
	for i := range 5 {
		b.spoil(n/2 + i)
		files, process := b.sinceTouched(n/2+i, renew)
		shown, ended = append(shown, files), append(ended, process)
	}
	b.row("one due among them: from the trial of its place, behind all looks, to its new files", ms(median(shown)), "at most 50 ms")
	b.row("  to the end of the process, which a pass with nothing due has as well", ms(median(ended)), "")
	b.fromManifest(n)
	b.renewMany()
	b.oneOfFew()
	b.print(3)
}

// spoil makes a service due.
func (b *bench) spoil(i int) {
	b.t.Helper()
	must(b.t, os.Remove(filepath.Join(b.service(i), "..data", "ca.crt")))
	must(b.t, os.Remove(filepath.Join(b.service(i), "..data", "tls.key")))
}

// sinceTouched runs a pass, and gives how long after the place of a service was touched
// its new files were there, and the process at its end. A pass tries the places of what
// is due before anything is signed, once it has looked at everything. The difference of
// two passes that take seconds would not show what one renewal takes.
func (b *bench) sinceTouched(i int, argv []string) (files, process float64) {
	b.t.Helper()
	changed := func() time.Time {
		info, err := os.Stat(b.service(i))
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	was, done, touched := changed(), make(chan struct{}), make(chan time.Time, 1)
	go func() {
		for changed().Equal(was) {
			select {
			case <-done:
				touched <- time.Time{}
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
		touched <- time.Now()
	}()
	b.once(argv)
	end := time.Now()
	close(done)
	begin := <-touched
	if begin.IsZero() {
		b.t.Fatalf("%s was not touched", b.service(i))
	}
	link, err := os.Lstat(filepath.Join(b.service(i), "..data"))
	must(b.t, err)
	return milliseconds(link.ModTime().Sub(begin)), milliseconds(end.Sub(begin))
}

// few is how many services there are where a pass is short beside one renewal.
const few = 1000

// oneOfFew compares passes over few services, in pairs, one of which has one due.
func (b *bench) oneOfFew() {
	b.t.Helper()
	must(b.t, os.Rename(filepath.Join(b.file("pki"), "services"), b.file("renewed")))
	b.plant(few)
	renew := b.meshpki("renew")(0)
	b.once(renew)
	var pass, above spent
	for i := range rounds {
		wall, cpu := b.quiet(renew)
		b.spoil(i)
		oneWall, oneCPU := b.once(renew)
		pass.add(wall, cpu)
		above.add(oneWall-wall, oneCPU-cpu)
	}
	b.row(fmt.Sprintf("renew over %d fresh services, median of %d", few, rounds), pass.String(), "")
	b.row("  one due among them, above the pass before, median of pairs", above.String(), "at most 50 ms")
}

// renewMany has many services renewed at once, and a bare loop do the same without
// syncing anything. Nothing is removed before the end: a file system that has just lost
// many files is slow to make others.
func (b *bench) renewMany() {
	b.t.Helper()
	must(b.t, os.Rename(filepath.Join(b.file("pki"), "services"), b.file("before")))
	b.plant(due)
	var ours, bare spent
	for round := range 3 {
		syscall.Sync() // neither waits for what the other has left to write
		ours.add(b.once(b.meshpki("renew", "--force")(0)))
		syscall.Sync()
		bare.add(b.here(func() { b.makeAll(due, b.file(fmt.Sprintf("bare-%d", round))) }))
	}
	b.row(fmt.Sprintf("bare loop: %d keys, certificates and sets of files", due), bare.String(), "")
	b.row(fmt.Sprintf("renew of %d services that are due", due), ours.String(), "")
	b.ratio("  rate, ours to bare", bare.wall, ours.wall, "at least 0.5")
	b.ratio("  the same in CPU time", bare.cpu, ours.cpu, "")
}

// fromManifest makes a pass over the same services, all listed.
func (b *bench) fromManifest(n int) {
	b.t.Helper()
	var text bytes.Buffer
	text.WriteString("apiVersion: meshpki/v1\nservices:\n")
	for i := range n {
		fmt.Fprintf(&text, "- name: %s\n", filepath.Base(b.service(i)))
	}
	name := b.file("meshpki.yaml")
	must(b.t, os.WriteFile(name, text.Bytes(), 0o644))
	argv := b.meshpki("renew", "--config", name)(0)
	wall, cpu := b.quiet(argv)
	b.row("the same listed in a manifest", ms(wall)+", CPU "+ms(cpu), "")
	b.row("  peak memory", fmt.Sprintf("%.0f MB", b.peak(argv)), "at most 300 MB")
}

// spent is what runs of one thing took, in milliseconds. On a machine that others use
// too, the time of its processors says more than the clock.
type spent struct{ wall, cpu []float64 }

func (s *spent) add(wall, cpu float64) { s.wall, s.cpu = append(s.wall, wall), append(s.cpu, cpu) }

func (s *spent) String() string { return ms(median(s.wall)) + ", CPU " + ms(median(s.cpu)) }

func since(begin time.Time) float64 { return milliseconds(time.Since(begin)) }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// once runs a program that must succeed, and gives what it took.
func (b *bench) once(argv []string) (wall, cpu float64) {
	b.t.Helper()
	wall, cpu, _ = b.timed(argv)
	return wall, cpu
}

// quiet is once for a program that has nothing to say.
func (b *bench) quiet(argv []string) (wall, cpu float64) {
	b.t.Helper()
	wall, cpu, out := b.timed(argv)
	if len(out) > 0 {
		b.t.Fatalf("%s says:\n%.2000s", strings.Join(argv, " "), out)
	}
	return wall, cpu
}

func (b *bench) timed(argv []string) (wall, cpu float64, out []byte) {
	b.t.Helper()
	return b.clock(b.command(argv))
}

func (b *bench) clock(c *exec.Cmd) (wall, cpu float64, out []byte) {
	b.t.Helper()
	begin := time.Now()
	out, err := c.CombinedOutput()
	wall = since(begin)
	if err != nil {
		b.t.Fatalf("%s: %v\n%.2000s", strings.Join(c.Args, " "), err, out)
	}
	return wall, milliseconds(c.ProcessState.UserTime() + c.ProcessState.SystemTime()), out
}

// here is once for what this process does.
func (b *bench) here(f func()) (wall, cpu float64) {
	b.t.Helper()
	used := func() time.Duration {
		var r syscall.Rusage
		must(b.t, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	begin, before := time.Now(), used()
	f()
	return since(begin), milliseconds(used() - before)
}

func (b *bench) service(i int) string {
	return filepath.Join(b.file("pki"), "services", "default", fmt.Sprintf("service-%06d", i))
}

// plant makes places as issue makes them, all with one certificate.
func (b *bench) plant(n int) {
	b.t.Helper()
	b.once(b.meshpki("issue", "--service", "service-template")(0))
	from := filepath.Join(filepath.Dir(b.service(0)), "service-template")
	gen, err := os.Readlink(filepath.Join(from, "..data"))
	must(b.t, err)
	files := map[string][]byte{}
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt", ".meshpki.json"} {
		files[name], err = os.ReadFile(filepath.Join(from, "..data", name))
		must(b.t, err)
	}
	for i := range n {
		dir := b.service(i)
		must(b.t, os.MkdirAll(filepath.Join(dir, gen), 0o755))
		for name, data := range files {
			mode := os.FileMode(0o644)
			switch name {
			case "tls.key":
				mode = 0o600
			case ".meshpki.json":
				data = bytes.ReplaceAll(data, []byte("service-template"), []byte(filepath.Base(dir)))
			}
			must(b.t, os.WriteFile(filepath.Join(dir, gen, name), data, mode))
			if name != ".meshpki.json" {
				must(b.t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
			}
		}
		must(b.t, os.Symlink(gen, filepath.Join(dir, "..data")))
	}
	must(b.t, os.RemoveAll(from))
}

// readAll reads and parses what a pass has to look at.
func (b *bench) readAll(n int) {
	b.t.Helper()
	for i := range n {
		dir := filepath.Join(b.service(i), "..data")
		for _, name := range []string{"tls.crt", "ca.crt", "tls.key", ".meshpki.json"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			must(b.t, err)
			if name == ".meshpki.json" {
				var facts map[string]any
				must(b.t, json.Unmarshal(data, &facts))
				continue
			}
			for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
				if name == "tls.key" {
					_, err = x509.ParsePKCS8PrivateKey(block.Bytes)
				} else {
					_, err = x509.ParseCertificate(block.Bytes)
				}
				must(b.t, err)
			}
		}
	}
}

// makeAll makes keys, certificates and files, and waits for no disk.
func (b *bench) makeAll(n int, top string) {
	b.t.Helper()
	must(b.t, os.MkdirAll(top, 0o755))
	b.makeEach(n, func(name string, chain, key, roots []byte) {
		dir := filepath.Join(top, name)
		must(b.t, os.MkdirAll(dir, 0o755))
		must(b.t, os.WriteFile(filepath.Join(dir, "tls.crt"), chain, 0o644))
		must(b.t, os.WriteFile(filepath.Join(dir, "tls.key"), key, 0o600))
		must(b.t, os.WriteFile(filepath.Join(dir, "ca.crt"), roots, 0o644))
	})
}

// makeEach makes so many keys and certificates, one after the other, and hands each over
// in PEM.
func (b *bench) makeEach(n int, keep func(name string, chain, key, roots []byte)) {
	b.t.Helper()
	issuer := certificates(b.t, filepath.Join(b.file("pki"), "ca", "issuing.crt"))[0]
	data, err := os.ReadFile(filepath.Join(b.file("pki"), "keys", "issuing.key"))
	must(b.t, err)
	block, _ := pem.Decode(data)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(b.t, err)
	roots, err := os.ReadFile(filepath.Join(b.file("pki"), "ca", "root.crt"))
	must(b.t, err)
	for i := range n {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(b.t, err)
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
		must(b.t, err)
		name := fmt.Sprintf("service-%06d", i)
		template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 1, 0),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			DNSNames: []string{name + ".default", name + ".default.svc", name + ".default.svc.cluster.local", name}}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), parsed.(crypto.Signer))
		must(b.t, err)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		must(b.t, err)
		chain := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Raw})...)
		keep(name, chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), roots)
	}
}
