package inspect

import (
	"crypto/x509"
	"time"
)

// Range is a stretch of time that was asked about.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// BreaksAt is the first moment at which the answer is no; the findings are those
	// of then. Not set where the answer is yes all along.
	BreaksAt *time.Time `json:"breaksAt,omitempty"`
}

// VerifyUntil asks about every moment from o.At to a later one: the result is that
// of the first at which the answer is no, or of o.At where there is none. To the
// second, as certificates have it.
func VerifyUntil(source string, target *x509.Certificate, between []*x509.Certificate, o Options, to time.Time) Result {
	span := &Range{From: o.At.UTC().Truncate(time.Second), To: to.UTC().Truncate(time.Second)}
	first := Result{}
	const most = 10000 // moments at which something changes
	for i := range most {
		r := NewVerifier(o).Verify(source, target, between)
		if i == 0 {
			first = r
		}
		next, ok := nextChange(r, o, to)
		if !r.Trusted || ok && i == most-1 {
			at := r.At
			span.BreaksAt = &at
			r.Trusted, r.Range = false, span
			return r
		}
		if !ok {
			break
		}
		o.At = next
	}
	first.Range = span
	return first
}

// nextChange is the first moment, up to a last one, at which an answer that is yes
// now may become another: a path ends, a list or an answer grows old, or a kind of
// signature counts no more.
func nextChange(r Result, o Options, to time.Time) (next time.Time, ok bool) {
	consider := func(t time.Time) {
		if t.After(o.At) && !t.After(to) && (!ok || t.Before(next)) {
			next, ok = t, true
		}
	}
	after := func(t time.Time) {
		if !t.IsZero() {
			consider(t.Add(time.Second))
		}
	}
	if r.TrustedUntil != nil {
		after(*r.TrustedUntil)
		if o.MinRemaining > 0 {
			after(r.TrustedUntil.Add(-o.MinRemaining))
		}
	}
	for _, l := range o.CRLs {
		consider(l.thisUpdate)
		after(l.nextUpdate)
	}
	if o.OCSP != nil {
		for _, a := range o.OCSP.answers {
			after(a.nextUpdate)
			after(a.thisUpdate.Add(ocspAge))
		}
		consider(ocspSHA1(&o))
	}
	consider(sha1Until)
	consider(dsaUntil)
	return next, ok
}
