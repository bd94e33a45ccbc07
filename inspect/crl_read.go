package inspect

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// RevocationList is a CRL as paths are judged by it (RFC 5280, Section 5). It is
// read once and asked often: a million entries cost no object each. Safe for
// concurrent use.
type RevocationList struct {
	tbs       []byte
	algorithm x509.SignatureAlgorithm
	signature []byte

	rawIssuer  []byte
	issuer     string // canonical
	thisUpdate time.Time
	nextUpdate time.Time // zero where it does not say
	number     *big.Int  // nil for none
	base       *big.Int  // of a delta CRL: the number of the complete one
	keyID      []byte
	scope      *crlScope
	unknown    string // a critical extension that is not understood, of the list or an entry

	flaws   []string // that do not make it unusable: what a conforming issuer would not do
	entries crlEntries
}

// crlScope is an issuing distribution point (RFC 5280, Section 5.2.5).
type crlScope struct {
	der                           []byte
	names                         []generalName
	onlyUsers, onlyCAs, onlyAttrs bool
	indirect                      bool
	reasons                       reasonSet
}

var errCRL = errors.New("it is no CRL")

func crlError(what string) error { return fmt.Errorf("not a well-formed CRL: %s", what) }

// ReadCRL reads one CRL in DER, strictly: a list that is not what the standard says
// proves nothing.
func ReadCRL(der []byte) (*RevocationList, error) {
	input := cryptobyte.String(der)
	var outer, tbs, algorithm, inner cryptobyte.String
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, crlError("something stands behind it, or it is cut off")
	}
	l := &RevocationList{}
	var whole cryptobyte.String
	if !outer.ReadASN1Element(&whole, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!outer.ReadASN1BitStringAsBytes(&l.signature) || !outer.Empty() {
		return nil, crlError("its three parts are not at their places")
	}
	l.tbs = whole
	if !whole.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, crlError(errCRL.Error())
	}
	version := 0
	if tbs.PeekASN1Tag(cbasn1.INTEGER) && (!tbs.ReadASN1Integer(&version) || version != 1) {
		return nil, crlError("its version is neither 1 nor 2")
	}
	if !tbs.ReadASN1Element(&inner, cbasn1.SEQUENCE) || string(inner) != string(algorithm) {
		return nil, crlError("its two signature algorithms differ")
	}
	l.algorithm = signatureAlgorithmOf(algorithm)
	if err := l.readHead(&tbs); err != nil {
		return nil, err
	}
	if err := l.readEntries(&tbs, version); err != nil {
		return nil, err
	}
	if err := l.readExtensions(&tbs, version); err != nil {
		return nil, err
	}
	if !tbs.Empty() {
		return nil, crlError("something stands behind its extensions")
	}
	if version == 1 && l.number == nil {
		l.flaws = append(l.flaws, "it has no number (RFC 5280, Section 5.2.3)")
	}
	return l, nil
}

func (l *RevocationList) readHead(tbs *cryptobyte.String) error {
	var issuer cryptobyte.String
	if !tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) {
		return crlError("it has no issuer")
	}
	l.rawIssuer = issuer
	if rdns, ok := canonicalRDNs(issuer); !ok || len(rdns) == 0 {
		return crlError("its issuer is no name")
	}
	l.issuer = canonicalName(issuer)
	var ok bool
	if l.thisUpdate, ok = readTime(tbs); !ok {
		return crlError("its time of issue is none")
	}
	if tbs.PeekASN1Tag(cbasn1.UTCTime) || tbs.PeekASN1Tag(cbasn1.GeneralizedTime) {
		if l.nextUpdate, ok = readTime(tbs); !ok {
			return crlError("its time of the next update is none")
		}
	} else {
		l.flaws = append(l.flaws, "it does not say when the next one comes (RFC 5280, Section 5.1.2.5)")
	}
	return nil
}

// readTime reads a Time as RFC 5280, Section 4.1.2.5 has it.
func readTime(s *cryptobyte.String) (time.Time, bool) {
	var t time.Time
	switch {
	case s.PeekASN1Tag(cbasn1.UTCTime):
		return t, s.ReadASN1UTCTime(&t) && true
	case s.PeekASN1Tag(cbasn1.GeneralizedTime):
		return t, s.ReadASN1GeneralizedTime(&t) && true
	}
	return t, false
}

func (l *RevocationList) readExtensions(tbs *cryptobyte.String, version int) error {
	var outer, list cryptobyte.String
	var present bool
	if !tbs.ReadOptionalASN1(&outer, &present, cbasn1.Tag(0).ContextSpecific().Constructed()) {
		return crlError("its extensions are none")
	}
	if !present {
		return nil
	}
	if version != 1 || !outer.ReadASN1(&list, cbasn1.SEQUENCE) || !outer.Empty() || list.Empty() {
		return crlError("its extensions are none, or it is of version 1 and has some")
	}
	seen := map[string]bool{}
	for !list.Empty() {
		oid, critical, value, ok := readExtension(&list)
		if !ok || seen[oid] {
			return crlError("its extensions are none, or one stands twice")
		}
		seen[oid] = true
		if err := l.readExtension(oid, critical, value); err != nil {
			return err
		}
	}
	return nil
}

// readExtension takes one extension off a list.
func readExtension(list *cryptobyte.String) (oid string, critical bool, value []byte, ok bool) {
	var ext, id, content cryptobyte.String
	if !list.ReadASN1(&ext, cbasn1.SEQUENCE) || !ext.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) {
		return "", false, nil, false
	}
	if ext.PeekASN1Tag(cbasn1.BOOLEAN) && !ext.ReadASN1Boolean(&critical) {
		return "", false, nil, false
	}
	ok = ext.ReadASN1(&content, cbasn1.OCTET_STRING) && ext.Empty()
	return string(id), critical, content, ok
}

// The OIDs of CRL extensions, as they stand in DER.
const (
	oidCRLNumber    = "\x55\x1d\x14"
	oidReasonCode   = "\x55\x1d\x15"
	oidInvalidity   = "\x55\x1d\x18"
	oidDelta        = "\x55\x1d\x1b"
	oidScope        = "\x55\x1d\x1c"
	oidEntryIssuer  = "\x55\x1d\x1d"
	oidAuthorityKey = "\x55\x1d\x23"
)

func (l *RevocationList) readExtension(oid string, critical bool, value cryptobyte.String) error {
	switch oid {
	case oidCRLNumber, oidDelta:
		n := new(big.Int)
		if !value.ReadASN1Integer(n) || !value.Empty() || n.Sign() < 0 {
			return crlError("its number is none")
		}
		if oid == oidDelta {
			if l.base = n; !critical {
				l.flaws = append(l.flaws, "it is a delta CRL and that is not marked critical (RFC 5280, Section 5.2.4)")
			}
			return nil
		}
		if l.number = n; critical {
			l.flaws = append(l.flaws, "its number is marked critical (RFC 5280, Section 5.2.3)")
		}
	case oidScope:
		s, err := readScope(value, l.rawIssuer)
		if err != nil {
			return err
		}
		if l.scope = s; !critical {
			l.flaws = append(l.flaws, "its issuing distribution point is not marked critical (RFC 5280, Section 5.2.5)")
		}
	case oidAuthorityKey:
		var outer, id cryptobyte.String
		var present bool
		if !value.ReadASN1(&outer, cbasn1.SEQUENCE) || !value.Empty() || !outer.ReadOptionalASN1(&id, &present, cbasn1.Tag(0).ContextSpecific()) {
			return crlError("its authority key identifier is none")
		}
		l.keyID = id
	default:
		if critical && l.unknown == "" {
			l.unknown = dottedOID(oid)
		}
	}
	return nil
}

func readScope(value cryptobyte.String, issuer []byte) (*crlScope, error) {
	s := &crlScope{der: value, reasons: allReasons}
	var outer, name, reasons cryptobyte.String
	var named, limited bool
	if !value.ReadASN1(&outer, cbasn1.SEQUENCE) || !value.Empty() ||
		!outer.ReadOptionalASN1(&name, &named, cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!readFlag(&outer, 1, &s.onlyUsers) || !readFlag(&outer, 2, &s.onlyCAs) ||
		!outer.ReadOptionalASN1(&reasons, &limited, cbasn1.Tag(3).ContextSpecific()) ||
		!readFlag(&outer, 4, &s.indirect) || !readFlag(&outer, 5, &s.onlyAttrs) || !outer.Empty() {
		return nil, crlError("its issuing distribution point is none")
	}
	switch only := []bool{s.onlyUsers, s.onlyCAs, s.onlyAttrs}; {
	case len(s.der) <= len("\x30\x00"): // RFC 5280, Section 5.2.5, as is what follows
		return nil, crlError("its issuing distribution point is empty")
	case len(slices.DeleteFunc(only, func(set bool) bool { return !set })) > 1:
		return nil, crlError("its issuing distribution point has it for one kind of certificates only, and for another only")
	}
	if limited {
		var ok bool
		if s.reasons, ok = readReasons(reasons); !ok {
			return nil, crlError("the reasons that it covers are none")
		}
	}
	if named {
		var err error
		if s.names, err = readPointName(name, issuer); err != nil {
			return nil, crlError("the name of its issuing distribution point is none")
		}
	}
	return s, nil
}

// readFlag reads an implicitly tagged BOOLEAN that is FALSE where it is not there.
func readFlag(s *cryptobyte.String, tag uint8, into *bool) bool {
	var value cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&value, &present, cbasn1.Tag(tag).ContextSpecific()) {
		return false
	}
	if !present {
		return true
	}
	if len(value) != 1 || value[0] != 0xff && value[0] != 0 {
		return false
	}
	*into = value[0] == 0xff
	return true
}

// lackError is a source without what was looked for in it; it is an ErrNothingFound,
// whatever else there may be.
type lackError string

func (e lackError) Error() string { return "there is no " + string(e) + " in it" }

// Is makes it an ErrNothingFound.
func (e lackError) Is(target error) bool { return target == ErrNothingFound }

// ReadCRLs reads the CRLs of a source, PEM with anything around it or DER. One that
// is not well formed is an error, and so is none at all: it wraps ErrNothingFound.
func ReadCRLs(data []byte) ([]*RevocationList, error) {
	if !hasPEM(data) {
		l, err := ReadCRL(data)
		if err != nil {
			return nil, err
		}
		return []*RevocationList{l}, nil
	}
	var list []*RevocationList
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			continue
		}
		l, err := ReadCRL(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	if len(list) == 0 {
		return nil, lackError("CRL")
	}
	return list, nil
}
