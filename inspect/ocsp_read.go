package inspect

import (
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// OCSPResponse is a basic OCSP response as certificates are judged by it (RFC 6960,
// Section 4.2.1).
type OCSPResponse struct {
	tbs        []byte
	algorithm  x509.SignatureAlgorithm
	signature  []byte
	byName     string // canonical name of the responder, or
	byKey      []byte // the SHA-1 hash of its key
	producedAt time.Time
	answers    []ocspSingle
	certs      []*x509.Certificate
	unknown    string // a critical extension that is not understood
}

// ocspSingle is what a response says of one certificate.
type ocspSingle struct {
	hash                   string // an OID
	nameHash, keyHash      []byte
	serial                 *big.Int
	status                 int // one of the constants below
	reason                 int
	thisUpdate, nextUpdate time.Time
	unknown                string // a critical extension that is not understood
}

const (
	ocspGood = iota
	ocspRevoked
	ocspUnknown
)

func ocspError(what string) error { return fmt.Errorf("not a usable OCSP response: %s", what) }

var errOCSPShape = errors.New("it is not written as RFC 6960 has it")

// ReadOCSP reads one OCSP response, DER or PEM with anything around it, strictly. None
// in PEM wraps ErrNothingFound; more than one is an error.
func ReadOCSP(data []byte) (*OCSPResponse, error) {
	if !hasPEM(data) {
		return readOCSP(data)
	}
	var only *pem.Block
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch {
		case block.Type != "OCSP RESPONSE":
		case only != nil:
			return nil, ocspError("there is more than one in it")
		default:
			only = block
		}
	}
	if only == nil {
		return nil, lackError("OCSP response")
	}
	return readOCSP(only.Bytes)
}

func readOCSP(der []byte) (*OCSPResponse, error) {
	input := cryptobyte.String(der)
	var outer, wrapped, basic cryptobyte.String
	var status int
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1Enum(&status) {
		return nil, ocspError(errOCSPShape.Error())
	}
	if status != 0 {
		return nil, ocspError("the responder gave no answer, but " + cmp.Or(responseStatuses[byte(status)], "status "+strconv.Itoa(status)))
	}
	var kind asn1.ObjectIdentifier
	var body cryptobyte.String
	if !outer.ReadASN1(&wrapped, cbasn1.Tag(0).ContextSpecific().Constructed()) || !outer.Empty() ||
		!wrapped.ReadASN1(&body, cbasn1.SEQUENCE) || !wrapped.Empty() || !body.ReadASN1ObjectIdentifier(&kind) ||
		!body.ReadASN1(&basic, cbasn1.OCTET_STRING) || !body.Empty() {
		return nil, ocspError(errOCSPShape.Error())
	}
	if kind.String() != "1.3.6.1.5.5.7.48.1.1" {
		return nil, ocspError("it is not of the basic type")
	}
	r := &OCSPResponse{}
	if err := r.readBasic(basic); err != nil {
		return nil, ocspError(err.Error())
	}
	return r, nil
}

func (r *OCSPResponse) readBasic(basic cryptobyte.String) error {
	var outer, tbs, data, algorithm, certs, list cryptobyte.String
	var present bool
	if !basic.ReadASN1(&outer, cbasn1.SEQUENCE) || !basic.Empty() || !outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE) ||
		!outer.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) || !outer.ReadASN1BitStringAsBytes(&r.signature) ||
		!outer.ReadOptionalASN1(&certs, &present, cbasn1.Tag(0).ContextSpecific().Constructed()) || !outer.Empty() {
		return errOCSPShape
	}
	r.tbs, r.algorithm = tbs, signatureAlgorithmOf(algorithm)
	if present && (!certs.ReadASN1(&list, cbasn1.SEQUENCE) || !certs.Empty()) {
		return errOCSPShape
	}
	const most = 16
	for !list.Empty() && len(r.certs) < most {
		var one cryptobyte.String
		if !list.ReadASN1Element(&one, cbasn1.SEQUENCE) {
			return errOCSPShape
		}
		if c, err := x509.ParseCertificate(one); err == nil {
			r.certs = append(r.certs, c)
		}
	}
	if !tbs.ReadASN1(&data, cbasn1.SEQUENCE) {
		return errOCSPShape
	}
	return r.readData(&data)
}

func (r *OCSPResponse) readData(data *cryptobyte.String) error {
	var version, by, answers, extensions cryptobyte.String
	var versioned, extended bool
	if !data.ReadOptionalASN1(&version, &versioned, cbasn1.Tag(0).ContextSpecific().Constructed()) {
		return errOCSPShape
	}
	if versioned {
		n := 0
		if !version.ReadASN1Integer(&n) || !version.Empty() || n != 0 {
			return errors.New("it is of a version that is not known")
		}
	}
	switch named, keyed := cbasn1.Tag(1).ContextSpecific().Constructed(), cbasn1.Tag(2).ContextSpecific().Constructed(); {
	case data.PeekASN1Tag(named):
		data.ReadASN1(&by, named)
		if _, ok := canonicalRDNs(by); !ok {
			return errOCSPShape
		}
		r.byName = canonicalName(by)
	case data.PeekASN1Tag(keyed):
		var hash cryptobyte.String
		if !data.ReadASN1(&by, keyed) || !by.ReadASN1(&hash, cbasn1.OCTET_STRING) || !by.Empty() {
			return errOCSPShape
		}
		r.byKey = hash
	default:
		return errOCSPShape
	}
	if !data.ReadASN1GeneralizedTime(&r.producedAt) || !data.ReadASN1(&answers, cbasn1.SEQUENCE) ||
		!data.ReadOptionalASN1(&extensions, &extended, cbasn1.Tag(1).ContextSpecific().Constructed()) || !data.Empty() {
		return errOCSPShape
	}
	for !answers.Empty() {
		a, ok := readAnswer(&answers)
		if !ok {
			return errOCSPShape
		}
		r.answers = append(r.answers, a)
	}
	var ok bool
	if r.unknown, ok = unknownCriticalOf(extensions, extended); !ok {
		return errOCSPShape
	}
	return nil
}

// unknownCriticalOf reads extensions of OCSP, none of which need be understood
// (RFC 6960, Section 4.4), and gives the first critical one.
func unknownCriticalOf(wrapped cryptobyte.String, present bool) (oid string, ok bool) {
	if !present {
		return "", true
	}
	var list cryptobyte.String
	if !wrapped.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapped.Empty() {
		return "", false
	}
	for !list.Empty() {
		id, critical, _, ok := readExtension(&list)
		if !ok {
			return "", false
		}
		if critical && oid == "" {
			oid = dottedOID(id)
		}
	}
	return oid, true
}

func readAnswer(list *cryptobyte.String) (a ocspSingle, ok bool) {
	var single, id, hash, name, key cryptobyte.String
	a.serial = new(big.Int)
	var oid asn1.ObjectIdentifier
	if !list.ReadASN1(&single, cbasn1.SEQUENCE) || !single.ReadASN1(&id, cbasn1.SEQUENCE) || !readAlgorithm(&id, &oid, &hash) ||
		!id.ReadASN1(&name, cbasn1.OCTET_STRING) || !id.ReadASN1(&key, cbasn1.OCTET_STRING) || !id.ReadASN1Integer(a.serial) || !id.Empty() {
		return a, false
	}
	a.hash, a.nameHash, a.keyHash = oid.String(), name, key
	if !a.readStatus(&single) || !single.ReadASN1GeneralizedTime(&a.thisUpdate) {
		return a, false
	}
	var next, extensions cryptobyte.String
	var hasNext, extended bool
	if !single.ReadOptionalASN1(&next, &hasNext, cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		hasNext && (!next.ReadASN1GeneralizedTime(&a.nextUpdate) || !next.Empty()) ||
		!single.ReadOptionalASN1(&extensions, &extended, cbasn1.Tag(1).ContextSpecific().Constructed()) || !single.Empty() {
		return a, false
	}
	a.unknown, ok = unknownCriticalOf(extensions, extended)
	return a, ok
}

func (a *ocspSingle) readStatus(single *cryptobyte.String) bool {
	var body cryptobyte.String
	good, revoked, unknown := cbasn1.Tag(0).ContextSpecific(), cbasn1.Tag(1).ContextSpecific().Constructed(), cbasn1.Tag(2).ContextSpecific()
	switch {
	case single.PeekASN1Tag(good):
		a.status = ocspGood
		return single.ReadASN1(&body, good) && body.Empty()
	case single.PeekASN1Tag(revoked):
		a.status = ocspRevoked
		var at time.Time
		var reason cryptobyte.String
		var given bool
		if !single.ReadASN1(&body, revoked) || !body.ReadASN1GeneralizedTime(&at) ||
			!body.ReadOptionalASN1(&reason, &given, cbasn1.Tag(0).ContextSpecific().Constructed()) || !body.Empty() {
			return false
		}
		return !given || reason.ReadASN1Enum(&a.reason)
	case single.PeekASN1Tag(unknown):
		a.status = ocspUnknown
		return single.ReadASN1(&body, unknown)
	}
	return false
}
