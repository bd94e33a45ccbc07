package issue_test

import (
	"testing"
	"time"

	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// What is remembered of the CAs above one leaf says nothing good of another that
// would not have been taken alone.
func TestAscentRemembersNothingThatIsNot(t *testing.T) {
	for name, test := range lies(t) {
		t.Run(name, func(t *testing.T) {
			authority := newAuthority(t, memory.AuthorityOptions{})
			o := order(t)
			o.Ascent = &issue.Ascent{}
			for range 2 {
				if _, err := issue.Obtain(t.Context(), authority, o, start); err != nil {
					t.Fatal(err)
				}
			}
			_, err := issue.Obtain(t.Context(), &liar{Issuer: authority, spoil: test.spoil}, o, start)
			if (err != nil) != (test.names != "") {
				t.Errorf("error %v, want one with %q", err, test.names)
			}
			if _, err := issue.Obtain(t.Context(), authority, o, start); err != nil {
				t.Errorf("the next honest one: %v", err)
			}
		})
	}
}

// The time passes also for what is remembered.
func TestAscentEnds(t *testing.T) {
	authority := newAuthority(t, memory.AuthorityOptions{Validity: 48 * time.Hour})
	o := order(t)
	o.Ascent = &issue.Ascent{}
	c, err := issue.Obtain(t.Context(), authority, o, start)
	if err != nil {
		t.Fatal(err)
	}
	sealed := mustSeal(t, o)
	late := start.Add(72 * time.Hour)
	chain, err := authority.Issue(t.Context(), ca.Request{CSR: sealed.CSR, Identity: o.Identity, Profile: o.Profile, Validity: o.Validity})
	if err != nil {
		t.Fatal(err)
	}
	c = &issue.Credential{Key: sealed.Key, Chain: chain, Roots: c.Roots}
	if err := issue.CheckAnswer(c, sealed.CSR, o, start); err != nil {
		t.Errorf("in time: %v", err)
	}
	if err := issue.CheckAnswer(c, sealed.CSR, o, late); err == nil {
		t.Error("it is taken when everything has ended")
	}
}

func mustSeal(t *testing.T, o issue.Order) issue.Order {
	t.Helper()
	if err := o.Seal(); err != nil {
		t.Fatal(err)
	}
	return o
}
