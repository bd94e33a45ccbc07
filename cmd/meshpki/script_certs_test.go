package main

import (
	"crypto"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// certificatesIn reads every certificate of a PEM file, or of stdout.
func certificatesIn(ts *testscript.TestScript, name string) []*x509.Certificate {
	certs, err := pemfile.Certificates([]byte(ts.ReadFile(name)))
	if err != nil {
		ts.Fatalf("%s: %v", name, err)
	}
	return certs
}

// certinfo FILE prints what crypto/x509 says of each certificate in a PEM file: a
// witness that is not meshpki.
func certinfo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: certinfo file")
	}
	for _, c := range certificatesIn(ts, args[0]) {
		w := ts.Stdout()
		fmt.Fprintf(w, "subject %s\nissuer %s\n", c.Subject, c.Issuer)
		fmt.Fprintf(w, "from %s\nuntil %s\n", c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
		fmt.Fprintf(w, "key %s signed %s\n", c.PublicKeyAlgorithm, c.SignatureAlgorithm)
		fmt.Fprintf(w, "ca %t path length %s\n", c.IsCA, pathLength(c))
		fmt.Fprintf(w, "usage %s %v\n", keyUsage(c.KeyUsage), c.ExtKeyUsage)
		for _, e := range c.Extensions {
			if e.Critical {
				fmt.Fprintf(w, "critical %s\n", e.Id)
			}
		}
		if c.SerialNumber.Sign() < 1 || c.SerialNumber.BitLen() > 159 {
			ts.Fatalf("serial number %x", c.SerialNumber)
		}
		for _, s := range names(c) {
			fmt.Fprintf(w, "name %s\n", s)
		}
		for _, s := range permitted(c) {
			fmt.Fprintf(w, "%s\n", s)
		}
	}
}

func pathLength(c *x509.Certificate) string {
	if c.MaxPathLen < 0 || c.MaxPathLen == 0 && !c.MaxPathLenZero {
		return "none"
	}
	return strconv.Itoa(c.MaxPathLen)
}

func keyUsage(u x509.KeyUsage) string {
	var out []string
	for bit, name := range []string{"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign"} {
		if u&(1<<bit) != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, ",")
}

// names lists the subject alternative names of a certificate, in its order.
func names(c *x509.Certificate) []string {
	var out []string
	for _, u := range c.URIs {
		out = append(out, "URI:"+u.String())
	}
	for _, s := range c.DNSNames {
		out = append(out, "DNS:"+s)
	}
	for _, ip := range c.IPAddresses {
		out = append(out, "IP:"+ip.String())
	}
	for _, s := range c.EmailAddresses {
		out = append(out, "email:"+s)
	}
	return out
}

func permitted(c *x509.Certificate) []string {
	var out []string
	for _, side := range []struct {
		what string
		list []string
	}{{"permits dns", c.PermittedDNSDomains}, {"permits uri", c.PermittedURIDomains}, {"permits email", c.PermittedEmailAddresses},
		{"excludes dns", c.ExcludedDNSDomains}, {"excludes uri", c.ExcludedURIDomains}, {"excludes email", c.ExcludedEmailAddresses}} {
		for _, s := range side.list {
			out = append(out, side.what+" "+strconv.Quote(s))
		}
	}
	for _, n := range c.PermittedIPRanges {
		out = append(out, "permits ip "+n.String())
	}
	for _, n := range c.ExcludedIPRanges {
		out = append(out, "excludes ip "+n.String())
	}
	return out
}

// sans FILE NAME… holds the names of a file's first certificate against those given:
// these, and no others.
func sans(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: sans file name...")
	}
	if got := names(certificatesIn(ts, args[0])[0]); !slices.Equal(got, args[1:]) {
		ts.Fatalf("%s certifies\n  %s\nnot\n  %s", args[0], strings.Join(got, "\n  "), strings.Join(args[1:], "\n  "))
	}
}

// same-set DIR… sees that the files of each directory are one set: the key is that
// of the leaf, the chain leads to the roots, all three stand in the generation
// that ..data names, and no generation holds less.
func sameSet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: same-set dir...")
	}
	for _, dir := range args {
		path := ts.MkAbs(dir)
		if err := checkSet(path); err != nil {
			ts.Fatalf("%s: %v", dir, err)
		}
		entries, err := os.ReadDir(path)
		ts.Check(err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "..gen-") {
				if err := checkSet(filepath.Join(path, e.Name())); err != nil {
					ts.Fatalf("%s: %s: %v", dir, e.Name(), err)
				}
			}
		}
	}
}

func checkSet(dir string) error {
	files := map[string][]byte{}
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		files[name] = data
	}
	chain, err := pemfile.Certificates(files["tls.crt"])
	if err != nil {
		return err
	}
	block, _ := pem.Decode(files["tls.key"])
	if block == nil {
		return fmt.Errorf("tls.key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	if !pemfile.SamePublicKey(chain[0].PublicKey, key.(crypto.Signer).Public()) {
		return fmt.Errorf("the key is not that of the certificate")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(files["ca.crt"]) {
		return fmt.Errorf("ca.crt has no certificate")
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: chain[0].NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// ledger DIR N sees that the record in a state directory is whole and tells of N
// leaves: as many entries as its checkpoint says, and no serial number twice. It
// reads the files by the words of C2SP tlog-tiles.
func ledger(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ledger dir leaves")
	}
	checkpoint := strings.Split(ts.ReadFile(filepath.Join(args[0], "log", "checkpoint")), "\n")
	size, err := strconv.Atoi(checkpoint[1])
	ts.Check(err)
	leaves, seen := 0, map[string]bool{}
	for bundle := 0; bundle*256 < size; bundle++ {
		name := fmt.Sprintf("%03d", bundle)
		if w := size - bundle*256; w < 256 {
			name += fmt.Sprintf(".p/%d", w)
		}
		data := []byte(ts.ReadFile(filepath.Join(args[0], "log", "tile", "entries", filepath.FromSlash(name))))
		for len(data) > 0 {
			n := 2 + int(binary.BigEndian.Uint16(data))
			var e struct{ Kind, Serial string }
			ts.Check(json.Unmarshal(data[2:n], &e))
			data = data[n:]
			if e.Kind != "leaf" && e.Kind != "ca" {
				continue
			}
			if seen[e.Serial] || e.Serial == "" {
				ts.Fatalf("serial number %q stands in the ledger twice, or is none", e.Serial)
			}
			if seen[e.Serial] = true; e.Kind == "leaf" {
				leaves++
			}
		}
	}
	if got := strconv.Itoa(leaves); got != args[1] {
		ts.Fatalf("the ledger tells of %s leaves, not %s", got, args[1])
	}
}
