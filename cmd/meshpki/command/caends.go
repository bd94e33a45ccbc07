package command

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

// soonPart is the part of a CA certificate's life, from its end, in which something
// has to be done: what is issued then is cut to that end.
const soonPart = 5

// addEnds says of each authority whether it comes to its end, with whom, or has been
// revoked, and what to do about it.
func addEnds(ctx context.Context, docs []ui.Authority, all []file.Authority, d *file.Directory, dirFlag string, now time.Time) error {
	revoked, err := d.Ledger().Revoked(ctx)
	if err != nil {
		return err
	}
	for i, a := range all {
		end, whose := a.Ends()
		docs[i].EndsAt = end.UTC()
		if !whose.Equal(a.Certificate) {
			docs[i].EndsWith = whose.Subject.CommonName
		}
		if ended := revokedOf(a, revoked); ended != nil {
			docs[i].State = "revoked"
			if ended.Equal(a.Certificate) && !a.Root() {
				docs[i].Todo = "meshpki ca rotate intermediate " + a.Name + dirFlag
			}
			continue
		}
		switch life := whose.NotAfter.Sub(whose.NotBefore); {
		case now.Before(a.Certificate.NotBefore):
			docs[i].State = "not yet valid"
			continue
		case !now.Before(end):
			docs[i].State = "expired"
		case end.Sub(now) < life/soonPart:
			docs[i].State = "ending"
		default:
			docs[i].State = "valid"
			continue
		}
		docs[i].Todo = remedy(a, d, dirFlag)
	}
	return nil
}

// revokedOf is the first certificate of an authority and those above it that has
// been revoked, with which the authority signs nothing more; nil where none has.
func revokedOf(a file.Authority, revoked ca.Revoked) *x509.Certificate {
	for _, c := range append([]*x509.Certificate{a.Certificate}, a.Above...) {
		if _, ok := revoked.Certificate(c); ok {
			return c
		}
	}
	return nil
}

// remedy is the command that gives an authority more time: its own certificate again,
// or that of the CA above it whose end comes first.
func remedy(a file.Authority, d *file.Directory, dirFlag string) string {
	_, whose := a.Ends()
	for !a.Certificate.Equal(whose) {
		parent, err := d.Parent(a.Name)
		if err != nil {
			return "" // the CA above is elsewhere
		}
		a = parent
	}
	if a.Root() {
		return "meshpki ca rotate root start" + dirFlag // another root, which everyone has to come to trust
	}
	key := ""
	if parent, err := d.Parent(a.Name); err != nil {
		return ""
	} else if parent.KeyPath == "" && parent.KeyURI == "" {
		key = " --key FILE"
	}
	return fmt.Sprintf("meshpki ca reissue %s%s%s", a.Name, key, dirFlag)
}
