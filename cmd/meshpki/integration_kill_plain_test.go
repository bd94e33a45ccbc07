//go:build integration && linux

package main

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
)

// plainTrial is a renewal of plain files, replaced one after the other: between two
// renames a certificate may lie beside another's key, so that only the single file is
// judged at once; the next pass has to end in the new set.
func plainTrial(t *testing.T) trial {
	t.Helper()
	manifest := strings.ReplaceAll(killManifest, "      - to: out/a\n", "      - to: out/a\n        swap: files\n")
	manifest = strings.ReplaceAll(manifest, "      - to: out/b\n", "      - to: out/b\n        swap: files\n")
	r := renewalTrialOf(t, manifest)
	r.holds = func(t *testing.T, dir string) {
		t.Helper()
		name := filepath.Join(dir, "out/b/combined.pem")
		if _, err := tls.LoadX509KeyPair(name, name); err != nil {
			t.Error(err)
		}
	}
	return r
}

func TestKilledWhileRenewingPlainFiles(t *testing.T) { plainTrial(t).killed() }
