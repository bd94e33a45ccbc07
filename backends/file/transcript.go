package file

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
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
	base := at.UTC().Format("20060102T150405Z") + "-" + step
	path := filepath.Join(dir, base+".txt")
	for n := 2; ; n++ {
		err := durable.CreateFile(path, text, publicMode)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrExist) || n > 1000 {
			return "", err
		}
		path = filepath.Join(dir, fmt.Sprintf("%s-%d.txt", base, n))
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
