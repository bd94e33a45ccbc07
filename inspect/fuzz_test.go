package inspect_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meshpki/meshpki/inspect"
)

func addFixtures(f *testing.F) {
	for _, dir := range []string{fixtures, stores} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			f.Add(fixture(f, filepath.Join("..", filepath.Base(dir), e.Name())))
		}
	}
}

// FuzzParse: no input stops it, places count up, and an object is what it says or
// says why it is not.
func FuzzParse(f *testing.F) {
	addFixtures(f)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END -----BEGIN CERTIFICATE-----"))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		before := slices.Clone(data)
		list, err := inspect.Parse(data)
		if !slices.Equal(before, data) {
			t.Error("the input was changed")
		}
		if (err == nil) != (len(list) > 0) {
			t.Errorf("%d objects, %v", len(list), err)
		}
		line := 0
		for i, o := range list {
			if o.Index != i+1 || o.Line < line && o.Within == "" {
				t.Errorf("object %d at line %d says %d at line %d", i+1, line, o.Index, o.Line)
			}
			line = o.Line
			facts := o.Certificate != nil || o.Request != nil || o.CRL != nil || o.PublicKey != nil || o.OCSP != nil || o.Encrypted
			if o.Err != nil && facts || o.Err == nil && !facts && o.Kind != inspect.KindOther {
				t.Errorf("%+v", o)
			}
			if o.Kind == inspect.KindKey && o.DER != nil {
				t.Error("a private key was kept")
			}
		}
	})
}

// FuzzDescribe describes and verifies whatever can be parsed.
func FuzzDescribe(f *testing.F) {
	addFixtures(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := inspect.Parse(data)
		if err != nil {
			return
		}
		for i, r := range inspect.DescribeAll("fuzz", list, at) {
			said := r.Certificate != nil || r.Request != nil || r.CRL != nil || r.PrivateKey != nil || r.PublicKey != nil || r.OCSP != nil
			if said != (r.Error == "" && r.Kind != inspect.KindOther) || r.Findings == nil {
				t.Errorf("object %d: %+v", i+1, r)
			}
		}
		certs := inspect.Certificates(list)
		targets, between := inspect.Targets(certs)
		if len(certs) > 0 && len(targets) == 0 {
			t.Error("certificates without a target")
		}
		for _, c := range targets {
			r := inspect.Verify("fuzz", c, inspect.Options{Intermediates: between, At: at, Name: string(data), SPIFFEID: string(data)})
			if r.Trusted || len(r.Findings) == 0 {
				t.Errorf("trusted without a root: %+v", r)
			}
			r = inspect.Verify("fuzz", c, inspect.Options{Roots: certs, At: at})
			if r.Trusted == slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Severity == inspect.SeverityError }) {
				t.Errorf("trusted %v with findings %v", r.Trusted, r.Findings)
			}
		}
	})
}
