//go:build integration

package main

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// TestRandomOrders: OpenSSL and zlint have nothing against what random manifests make.
func TestRandomOrders(t *testing.T) {
	t.Parallel()
	var files []string
	for seed := range uint64(3) {
		d := dealer{rand.New(rand.NewPCG(seed, 11))}
		m := newMesh(t, d.authority()[2:]...)
		list := filepath.Join(t.TempDir(), "mesh.yaml")
		text, services := d.manifest(25)
		writeFile(t, list, text)
		m.run("issue", "--file", list)
		for _, s := range services {
			for _, namespace := range []string{"prod", "dev"} {
				c := credential{t, filepath.Join(m.dir, "services", namespace, s.name)}
				if found, _ := filepath.Glob(c.chain()); len(found) == 0 {
					continue // refused, or of the other namespace
				}
				succeed(t, program(t, "openssl"), "verify", "-x509_strict", "-CAfile", c.roots(), "-untrusted", c.chain(), c.chain())
				files = append(files, c.chain())
			}
		}
	}
	if len(files) < 20 {
		t.Fatalf("%d were issued: the test tries too little", len(files))
	}
	zlint(t, "", files...)
}
