//go:build bench && unix

package main

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestBenchVerify measures verify of one file and of many beside OpenSSL.
func TestBenchVerify(t *testing.T) {
	b := newBench(t)
	const many = 10000
	args := []string{"issue", "--service", "payment", "--dir", b.file("pki")}
	succeed(t, meshpki(t), args...)
	leaf, roots, between := b.file("pki/services/default/payment/tls.crt"), b.file("pki/ca/root.crt"), b.file("pki/ca/issuing.crt")
	one := b.compare(b.meshpki("version"),
		func(int) []string {
			return []string{meshpki(t), "verify", leaf, "--roots", roots, "--dir", b.file("pki")}
		},
		func(int) []string {
			return []string{program(t, "openssl"), "verify", "-CAfile", roots, "-untrusted", between, leaf}
		})
	above := make([]float64, len(one[0]))
	for i := range above {
		above[i] = one[1][i] - one[0][i]
	}
	b.ratio("verify one file, less version / openssl", above, one[2], "at most 0.7")
	files := make([]string, many)
	for i := range files {
		files[i] = filepath.Clean(leaf)
	}
	all := func(argv ...string) func(int) []string {
		return func(int) []string { return append(argv[:len(argv):len(argv)], files...) }
	}
	times := b.compare(all(meshpki(t), "verify", "--roots", roots, "--format", "json"),
		all(program(t, "openssl"), "verify", "-CAfile", roots, "-untrusted", between))
	b.row(fmt.Sprintf("verify %d files", many), ms(median(times[0])), "")
	b.ratio("verify / openssl", times[0], times[1], "at most 1")
	b.print(rounds)
}
