package inspect

import (
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// reasonSet is a set of ReasonFlags (RFC 5280, Section 4.2.1.13): bit i of the BIT
// STRING is 1<<i here.
type reasonSet uint16

// allReasons are those from keyCompromise to aACompromise.
const allReasons reasonSet = 0x1fe

// distributionPoint is where a CRL for a certificate is to be found, and which
// (RFC 5280, Section 4.2.1.13).
type distributionPoint struct {
	names    []generalName // none where only an issuer is named
	reasons  reasonSet
	issuers  []generalName // cRLIssuer: of a CRL that another than the certificate's issuer signed
	relative bool          // its name is written relative to the issuer's
}

var errPoints = errors.New("it is no list of distribution points")

func readPoints(n *node, value []byte) error {
	input := cryptobyte.String(value)
	var list cryptobyte.String
	if !input.ReadASN1(&list, cbasn1.SEQUENCE) || !input.Empty() || list.Empty() {
		return errPoints
	}
	for !list.Empty() {
		p, err := readPoint(&list, n.RawIssuer)
		if err != nil {
			return err
		}
		n.points = append(n.points, p)
		n.unread = n.unread || p.relative
	}
	return nil
}

func readPoint(list *cryptobyte.String, issuer []byte) (distributionPoint, error) {
	p := distributionPoint{reasons: allReasons}
	var point, name, reasons, issuers cryptobyte.String
	var named, limited, other bool
	if !list.ReadASN1(&point, cbasn1.SEQUENCE) ||
		!point.ReadOptionalASN1(&name, &named, cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!point.ReadOptionalASN1(&reasons, &limited, cbasn1.Tag(1).ContextSpecific()) ||
		!point.ReadOptionalASN1(&issuers, &other, cbasn1.Tag(2).ContextSpecific().Constructed()) || !point.Empty() {
		return p, errPoints
	}
	var err error
	if other {
		if p.issuers, err = readNameList(issuers); err != nil || len(p.issuers) == 0 {
			return p, errPoints
		}
		if i := slices.IndexFunc(p.issuers, func(g generalName) bool { return g.kind == tagDirectory }); i >= 0 {
			issuer = p.issuers[i].der
		}
	}
	if limited {
		var ok bool
		if p.reasons, ok = readReasons(reasons); !ok {
			return p, errPoints
		}
	}
	if named {
		p.relative = name.PeekASN1Tag(cbasn1.Tag(1).ContextSpecific().Constructed())
		if p.names, err = readPointName(name, issuer); err != nil {
			return p, err
		}
	}
	if !named && !other {
		return p, errors.New("a distribution point in it has neither a name nor an issuer")
	}
	return p, nil
}

// readPointName reads a DistributionPointName; issuer is what a relative one is
// relative to.
func readPointName(name cryptobyte.String, issuer []byte) ([]generalName, error) {
	var full, relative cryptobyte.String
	var isFull, isRelative bool
	if !name.ReadOptionalASN1(&full, &isFull, cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!name.ReadOptionalASN1(&relative, &isRelative, cbasn1.Tag(1).ContextSpecific().Constructed()) ||
		!name.Empty() || isFull == isRelative {
		return nil, errPoints
	}
	if isFull {
		names, err := readNameList(full)
		if err == nil && len(names) == 0 {
			err = errPoints
		}
		return names, err
	}
	// The relative name lies below the issuer's: put it there and read the whole.
	var b cryptobyte.Builder
	input := cryptobyte.String(issuer)
	var rdns cryptobyte.String
	if !input.ReadASN1(&rdns, cbasn1.SEQUENCE) {
		return nil, errPoints
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(rdns)
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(relative) })
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, errPoints
	}
	whole, ok := canonicalRDNs(der)
	if !ok {
		return nil, errPoints
	}
	return []generalName{{kind: tagDirectory, rdns: whole, der: der}}, nil
}

// readReasons reads the content of a BIT STRING of ReasonFlags.
func readReasons(b cryptobyte.String) (reasonSet, bool) {
	if len(b) < 2 || len(b) > 3 || b[0] > 7 {
		return 0, false
	}
	var set reasonSet
	for i := range 8 * (len(b) - 1) {
		if b[1+i/8]&(0x80>>(i%8)) != 0 {
			set |= 1 << i
		}
	}
	return set & allReasons, true
}

// shareName tells whether two lists have a name in common.
func shareName(a, b []generalName) bool {
	return slices.ContainsFunc(a, func(n generalName) bool { return slices.ContainsFunc(b, n.sameName) })
}
