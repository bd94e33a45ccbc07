package issue_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// flat has its CA for a root: nothing stands between it and what it signs.
type flat struct{ *liar }

func (f flat) Issue(ctx context.Context, req ca.Request) (ca.Chain, error) {
	chain, err := f.liar.Issue(ctx, req)
	if err != nil {
		return nil, err
	}
	return chain[:1], nil
}

func (f flat) Roots(context.Context) ([]*x509.Certificate, error) {
	return []*x509.Certificate{f.Issuer.Certificate}, nil
}

// A certificate that outlives its root is of no use after it, whatever it says of itself.
func TestBeyondTheRoot(t *testing.T) {
	short := newAuthority(t, memory.AuthorityOptions{Validity: time.Hour})
	for end, good := range map[time.Duration]bool{30 * time.Minute: true, time.Hour: true, 2 * time.Hour: false} {
		o := order(t)
		o.Validity.UpTo = true
		_, err := issue.Obtain(t.Context(), flat{&liar{Issuer: short, spoil: func(l *lie) { l.NotAfter = start.Add(end) }}}, o, start)
		m, ok := errors.AsType[*issue.Mismatch](err)
		if good != (err == nil) || !good && (!ok || m.Part != issue.PartChain || !strings.Contains(m.What, "beyond its root's")) {
			t.Errorf("until %s: %v", end, err)
		}
	}
}
