package file

import (
	"bytes"
	"encoding/base64"

	"github.com/meshpki/meshpki/ca"
)

// plainEntry reads an entry in the form that Record writes most of them in: an
// object of texts without escapes. It is several times as fast as encoding/json,
// which reads all others, and never disagrees with it.
func plainEntry(data []byte) (e ca.Entry, ok bool) {
	rest, open := bytes.CutPrefix(data, []byte("{"))
	for open {
		var key, value []byte
		if rest, open = bytes.CutPrefix(rest, []byte{'"'}); !open {
			break
		}
		if key, rest, open = bytes.Cut(rest, []byte(`":"`)); !open {
			break
		}
		if value, rest, open = bytes.Cut(rest, []byte{'"'}); !open || !isPlain(value) || !setField(&e, string(key), value) {
			break
		}
		if string(rest) == "}" {
			return e, true
		}
		rest, open = bytes.CutPrefix(rest, []byte{','})
	}
	return ca.Entry{}, false
}

// isPlain tells whether a text stands in JSON as it is, and is ASCII.
func isPlain(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// setField sets the field of that key; one that is not known is for encoding/json.
func setField(e *ca.Entry, key string, value []byte) bool {
	var err error
	switch key {
	case "kind":
		e.Kind = ca.Kind(value)
	case "at":
		err = e.At.UnmarshalText(value)
	case "serial":
		e.Serial = string(value)
	case "issuer":
		e.Issuer = string(value)
	case "issuerKey":
		e.IssuerKey = string(value)
	case "key":
		e.Key = string(value)
	case "service":
		e.Service = string(value)
	case "namespace":
		e.Namespace = string(value)
	case "certificate":
		e.Certificate, err = base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(value))), value)
	case "token":
		e.Token = string(value)
	case "reason":
		e.Reason = string(value)
	case "notAfter":
		err = e.NotAfter.UnmarshalText(value)
	case "number":
		e.Number = string(value)
	case "sha256":
		e.SHA256 = string(value)
	case "note":
		e.Note = string(value)
	default:
		return false
	}
	return err == nil
}
