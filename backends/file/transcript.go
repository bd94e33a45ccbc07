package file

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// transcriptsDir has a file for each step of a ceremony, which nothing overwrites.
const transcriptsDir = "transcripts"

// WriteTranscript keeps what was said and done in a step of a ceremony, durably,
// under a name made of the time and the step, and gives its path.
func (d *Directory) WriteTranscript(step string, at time.Time, text []byte) (string, error) {
	dir := filepath.Join(d.path, transcriptsDir)
	if err := durable.MkdirAll(dir, dirMode); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	base := at.UTC().Format("20060102T150405Z") + "-" + step
	name := base + ".txt"
	for n := 2; ; n++ {
		err := durable.Create(root, name, text, publicMode)
		if err == nil {
			return filepath.Join(dir, name), durable.SyncDir(root, ".")
		}
		if !errors.Is(err, fs.ErrExist) || n > 1000 {
			return "", err
		}
		name = fmt.Sprintf("%s-%d.txt", base, n)
	}
}

// PreviewCA gives the certificate that an authority of the directory would sign for
// a CA: no key is needed, and nothing is recorded.
func (d *Directory) PreviewCA(ctx context.Context, name string, spec ca.Spec, pub crypto.PublicKey) (*x509.Certificate, error) {
	a, err := d.Authority(name)
	if err != nil {
		return nil, err
	}
	issuer := ca.Issuer{Certificate: a.Certificate, Above: a.Above, Ledger: d.Ledger(), Now: d.now}
	return issuer.PreviewCA(ctx, spec, pub)
}
