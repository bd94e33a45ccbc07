package ca

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// JSON is the entry as a ledger keeps it, byte for byte what json.Marshal gives: a
// ledger hashes it. Entries that have nothing in them to be escaped, as nearly all, are
// written without reflection.
func (e *Entry) JSON() ([]byte, error) {
	if b, ok := e.plainJSON(); ok {
		return b, nil
	}
	return json.Marshal(e)
}

// plainJSON is JSON; false where something would have to be escaped.
func (e *Entry) plainJSON() ([]byte, bool) {
	const rest = 1024 // what is there beside the certificate
	b := make([]byte, 0, rest+base64.StdEncoding.EncodedLen(len(e.Certificate)))
	ok := plainTime(e.At) && plainTime(e.NotAfter)
	text := func(key, value string, always bool) {
		if ok = ok && plainText(value); value == "" && !always {
			return
		}
		b = append(append(append(b, key...), value...), '"')
	}
	text(`{"kind":"`, string(e.Kind), true)
	b = append(e.At.AppendFormat(append(b, `,"at":"`...), time.RFC3339Nano), '"')
	text(`,"serial":"`, e.Serial, false)
	text(`,"issuer":"`, e.Issuer, false)
	text(`,"issuerKey":"`, e.IssuerKey, false)
	text(`,"key":"`, e.Key, false)
	text(`,"service":"`, e.Service, false)
	text(`,"namespace":"`, e.Namespace, false)
	if len(e.Certificate) > 0 {
		b = append(base64.StdEncoding.AppendEncode(append(b, `,"certificate":"`...), e.Certificate), '"')
	}
	text(`,"token":"`, e.Token, false)
	text(`,"reason":"`, e.Reason, false)
	if !e.NotAfter.IsZero() {
		b = append(e.NotAfter.AppendFormat(append(b, `,"notAfter":"`...), time.RFC3339Nano), '"')
	}
	text(`,"number":"`, e.Number, false)
	text(`,"sha256":"`, e.SHA256, false)
	text(`,"note":"`, e.Note, false)
	return append(b, '}'), ok
}

// plainTime tells whether a time is written in JSON as it is formatted.
func plainTime(t time.Time) bool {
	return t.Location() == time.UTC && t.Year() >= 0 && t.Year() <= 9999
}

// plainText tells whether a text stands in JSON as it is.
func plainText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
