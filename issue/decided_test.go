package issue_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// decider is a liar that may decide some parts.
type decider struct {
	*liar
	parts []string
}

func (d decider) Decides(ca.Request) []string { return d.parts }

// What is the authority's to decide is no difference; names, key and shape are
// nobody's to decide.
func TestDecided(t *testing.T) {
	issuer := newAuthority(t, memory.AuthorityOptions{})
	all := []string{issue.PartEnd, issue.PartSubject, issue.PartDNS, issue.PartShape, issue.PartChain, issue.PartKey, issue.PartUsageBad}
	for name, test := range map[string]struct {
		spoil func(l *lie)
		parts []string
		wrong bool
	}{
		"its end":                        {func(l *lie) { l.NotAfter = start.Add(90 * time.Hour) }, all, false},
		"its end, which is not decided":  {func(l *lie) { l.NotAfter = start.Add(90 * time.Hour) }, []string{issue.PartSubject}, true},
		"its subject":                    {func(l *lie) { l.RawSubject = []byte{0x30, 0} }, all, false},
		"its names":                      {func(l *lie) { l.DNSNames = append(l.DNSNames, "admin.example.org") }, all, true},
		"its shape":                      {func(l *lie) { l.IsCA = true }, all, true},
		"its end and its names, of both": {func(l *lie) { l.NotAfter, l.DNSNames = start.Add(90*time.Hour), nil }, all, true},
	} {
		c, err := issue.Obtain(t.Context(), decider{&liar{Issuer: issuer, spoil: test.spoil}, test.parts}, order(t), start)
		m, mismatch := errors.AsType[*issue.Mismatch](err)
		if mismatch != test.wrong || err != nil && !mismatch {
			t.Errorf("%s: error %v", name, err)
		}
		if mismatch && slices.Contains([]string{issue.PartSubject}, m.Part) || err == nil && len(c.Tolerated) > 0 {
			t.Errorf("%s: what is decided is told as a difference", name)
		}
	}
}
