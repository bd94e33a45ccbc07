//go:build unix

package file

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/meshpki/meshpki/issue"
)

// BenchmarkLoad reads places that are fresh, beside a bare loop that reads the same
// files by their names and parses the facts.
func BenchmarkLoad(b *testing.B) {
	places := make([]*Store, 200)
	dir := b.TempDir()
	for i := range places {
		places[i] = NewStore(filepath.Join(dir, "services", "default", fmt.Sprint("s", i)))
		mustSave(b, places[i], benchSet(i), "")
	}
	b.Run("bare", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			path := places[i%len(places)].path
			for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
				if _, err := os.ReadFile(filepath.Join(path, name)); err != nil {
					b.Fatal(err)
				}
			}
			var m manifest
			data, err := os.ReadFile(filepath.Join(path, dataLink, factsName))
			if err == nil {
				err = json.Unmarshal(data, &m)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, _, err := places[i%len(places)].Load(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load and audit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			s := places[i%len(places)]
			set, _, err := s.Load(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if found, err := s.Audit(b.Context(), set); err != nil || len(found) > 0 {
				b.Fatal(found, err)
			}
		}
	})
}

// benchSet has files of the size that a credential's have.
func benchSet(n int) issue.Set {
	text := func(size int) []byte { return fmt.Appendf(nil, "%0*d\n", size, n) }
	return issue.Set{Facts: map[string]string{issue.FactOrder: string(text(500))},
		Files: issue.Files{"tls.crt": {Data: text(1700)}, "tls.key": {Data: text(240), Secret: true}, "ca.crt": {Data: text(700)}}}
}

// BenchmarkSave replaces sets, beside a bare loop that writes the same files anew
// without syncing them.
func BenchmarkSave(b *testing.B) {
	const places = 200
	dir := b.TempDir()
	b.Run("bare", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			path := filepath.Join(dir, fmt.Sprint("bare", i%places))
			if err := os.MkdirAll(path, 0o755); err != nil {
				b.Fatal(err)
			}
			for name, f := range benchSet(i).Files {
				if err := os.WriteFile(filepath.Join(path, name), f.Data, 0o600); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	for _, at := range []int{1, 16} {
		b.Run(fmt.Sprintf("save/at-once=%d", at), func(b *testing.B) {
			b.SetParallelism(max(1, at/runtime.GOMAXPROCS(0)))
			var worker atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				w := worker.Add(1)
				stores := make([]*Store, 20)
				versions := make([]issue.Version, len(stores))
				for i := range stores {
					stores[i] = NewStore(filepath.Join(dir, fmt.Sprintf("%d-%d-%d", at, w, i)))
					_, versions[i], _ = stores[i].Load(b.Context()) // of the run before
				}
				for n := 0; pb.Next(); n++ {
					i := n % len(stores)
					v, err := stores[i].Save(b.Context(), benchSet(n), versions[i])
					if versions[i] = v; err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
