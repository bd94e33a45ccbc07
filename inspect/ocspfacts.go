package inspect

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// OCSPFacts say what an OCSP response says (RFC 6960, Section 4.2.1). Its signature
// is not checked here: there is no issuer to check it with.
type OCSPFacts struct {
	Status             string       `json:"status"`              // of the response itself: "successful", "tryLater", …
	Responder          string       `json:"responder,omitempty"` // a name (RFC 4514), or the hash of its key in hex
	ProducedAt         *time.Time   `json:"producedAt,omitempty"`
	SignatureAlgorithm string       `json:"signatureAlgorithm,omitempty"`
	Answers            []OCSPAnswer `json:"answers"`
}

// OCSPAnswer is what a response says of one certificate.
type OCSPAnswer struct {
	Serial     string     `json:"serial"`
	Status     string     `json:"status"` // "good", "revoked" or "unknown"
	RevokedAt  *time.Time `json:"revokedAt,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	ThisUpdate time.Time  `json:"thisUpdate"`
	NextUpdate *time.Time `json:"nextUpdate,omitempty"`
}

const oidBasicOCSP = "1.3.6.1.5.5.7.48.1.1"

// responseStatuses are those of RFC 6960, Section 4.2.1.
var responseStatuses = map[byte]string{0: "successful", 1: "malformedRequest", 2: "internalError", 3: "tryLater", 5: "sigRequired", 6: "unauthorized"}

var errNotOCSP = errors.New("not a well-formed OCSP response")

// ocspFacts reads an OCSP response, and gives the certificates that came with it.
func ocspFacts(der []byte) (*OCSPFacts, []tlv, error) {
	outer, _, _ := readTLV(der)
	status := outer.child(0)
	if !status.is(tagEnumerated) || len(status.body) != 1 {
		return nil, nil, errNotOCSP
	}
	f := &OCSPFacts{Status: responseStatuses[status.body[0]], Answers: []OCSPAnswer{}}
	if f.Status == "" {
		f.Status = "unknown"
		return f, nil, fmt.Errorf("not a well-formed OCSP response: its status is %d, which there is not", status.body[0])
	}
	if status.body[0] != 0 {
		return f, nil, nil
	}
	bytes := outer.child(1).child(0)
	if bytes.child(0).oid() != oidBasicOCSP {
		return f, nil, errors.New("an OCSP response of a type that is not known here")
	}
	basic, _, ok := readTLV(bytes.child(1).octets())
	if !ok {
		return f, nil, errNotOCSP
	}
	f.SignatureAlgorithm = signatureName(0, basic.full)
	var err error
	if !f.readData(basic.child(0)) {
		err = errNotOCSP
	}
	var certs []tlv
	if extra := basic.child(3); extra.isContext(0) {
		certs = extra.child(0).children(mostObjects)
	}
	return f, certs, err
}

// readData reads ResponseData.
func (f *OCSPFacts) readData(data tlv) bool {
	parts := data.children(5)
	if len(parts) > 0 && parts[0].isContext(0) {
		parts = parts[1:]
	}
	if len(parts) < 3 || !parts[2].is(tagSequence) {
		return false
	}
	switch {
	case parts[0].isContext(1):
		f.Responder = nameOr(parts[0].body)
	case parts[0].isContext(2):
		f.Responder = hex.EncodeToString(parts[0].child(0).octets())
	default:
		return false
	}
	if at := looseTime(parts[1]); !at.IsZero() {
		f.ProducedAt = &at
	}
	return parts[2].each(func(single tlv) bool {
		a, ok := ocspAnswer(single)
		if a.Serial != "" && a.Status != "" {
			f.Answers = append(f.Answers, a)
		}
		return ok && len(f.Answers) < mostObjects
	})
}

// ocspAnswer reads a SingleResponse.
func ocspAnswer(single tlv) (a OCSPAnswer, ok bool) {
	parts := single.children(5)
	if len(parts) < 3 || !parts[0].child(3).is(tagInteger) {
		return a, false
	}
	a.Serial = serialHex(signedInteger(parts[0].child(3).body))
	a.ThisUpdate = looseTime(parts[2])
	if len(parts) > 3 && parts[3].isContext(0) {
		if at := looseTime(parts[3].child(0)); !at.IsZero() {
			a.NextUpdate = &at
		}
	}
	switch status := parts[1]; {
	case status.isContext(0):
		a.Status = "good"
	case status.isContext(1):
		a.Status, a.Reason = "revoked", reasonName(0)
		if at := looseTime(status.child(0)); !at.IsZero() {
			a.RevokedAt = &at
		}
		if why := status.child(1); why.isContext(0) {
			if code := why.child(0); len(code.body) == 1 {
				a.Reason = reasonName(int(code.body[0]))
			}
		}
	case status.isContext(2):
		a.Status = "unknown"
	default:
		return a, false
	}
	return a, !a.ThisUpdate.IsZero()
}

var (
	ruleOCSPStale  = Rule{"ocsp-stale", SeverityError, "RFC 6960, Section 3.2", "an OCSP response's next update is not due yet"}
	ruleOCSPNotYet = Rule{"ocsp-not-yet-valid", SeverityError, "RFC 6960, Section 3.2", "an OCSP response's own update does not lie ahead"}
)

// ocspFindings judges a response by its times.
func ocspFindings(f *OCSPFacts, now time.Time) []Finding {
	list := []Finding{}
	for _, a := range f.Answers {
		switch {
		case now.Before(a.ThisUpdate):
			list = append(list, ruleOCSPNotYet.broken("", "it says of "+a.Serial+" what holds only from "+moment(a.ThisUpdate)+" on", "look at the clock here and at the responder's"))
		case a.NextUpdate != nil && now.After(*a.NextUpdate):
			list = append(list, ruleOCSPStale.broken("", "what it says of "+a.Serial+" was to be replaced "+span(seconds(now, *a.NextUpdate))+" ago", "ask the responder again"))
		}
		if len(list) == 20 {
			break
		}
	}
	return list
}
