package layout

import (
	"crypto/x509"
	"net/url"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/spiffeid"
	"github.com/meshpki/meshpki/issue"
)

// Refusal is one thing that a consumer would not load, and where that is written.
type Refusal struct {
	What     string
	Citation string
}

// RefusedError says what a consumer would refuse, so that it is not made.
type RefusedError struct {
	Consumer string
	Refusals []Refusal
}

func (e *RefusedError) Error() string {
	var all []string
	for _, r := range e.Refusals {
		all = append(all, r.What+" ("+r.Citation+")")
	}
	return e.Consumer + " would refuse it: " + strings.Join(all, "; ")
}

// refused is the error of what was found; nil where nothing was.
func refused(consumer string, found []Refusal) error {
	if len(found) == 0 {
		return nil
	}
	if consumer == "" {
		consumer = "its reader"
	}
	return &RefusedError{consumer, found}
}

// Plan is what a layout asks of a credential, which is known before it is made.
type Plan struct {
	KeyType    ca.KeyType
	SPIFFE     bool // it has one URI, and that is a SPIFFE ID
	Server     bool // it may be a TLS server, and a TLS client
	Client     bool
	CommonName string
	Foreign    bool // somebody else has the key
}

// PlanOf is the plan of an order.
func PlanOf(o issue.Order) Plan {
	uses := o.Profile.ExtKeyUsage()
	p := Plan{KeyType: o.KeyType, SPIFFE: !o.Identity.SPIFFEID().IsZero(), CommonName: o.Identity.CommonName(),
		Foreign: o.CSR != nil && o.Key == nil}
	p.Server, p.Client = allows(uses, x509.ExtKeyUsageServerAuth), allows(uses, x509.ExtKeyUsageClientAuth)
	return p
}

// planOf is the plan that a credential came from.
func planOf(c *issue.Credential) Plan {
	leaf := c.Leaf()
	p := Plan{KeyType: ca.KeyTypeOf(leaf.PublicKey), SPIFFE: isSPIFFE(leaf.URIs), CommonName: leaf.Subject.CommonName, Foreign: c.Key == nil}
	if len(leaf.UnknownExtKeyUsage) == 0 || len(leaf.ExtKeyUsage) > 0 {
		p.Server, p.Client = allows(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth), allows(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	return p
}

// allows tells whether extended key usages leave room for one: none name all.
func allows(uses []x509.ExtKeyUsage, use x509.ExtKeyUsage) bool {
	return len(uses) == 0 || slices.Contains(uses, use) || slices.Contains(uses, x509.ExtKeyUsageAny)
}

func isSPIFFE(uris []*url.URL) bool {
	if len(uris) != 1 {
		return false
	}
	id, err := spiffeid.Parse(uris[0].String())
	return err == nil && id.Path() != ""
}

// Check says what the layout's consumer would refuse of a credential that is still
// to be made: a *RefusedError, or nil.
func (n Named) Check(p Plan) error {
	if l, ok := n.Layout.(interface{ Check(Plan) error }); ok {
		return l.Check(p)
	}
	return nil
}
