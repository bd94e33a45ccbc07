package inspect

// tlv is one element of BER, of which DER is the one strict form (X.690,
// Section 8). What crypto/x509 refuses has to be shown all the same, and keystores
// and PKCS#7 are written in BER: so lengths are taken here in any form.
type tlv struct {
	class    int // one of the class constants
	tag      int
	compound bool
	body     []byte // without its head and its end
	full     []byte
}

const (
	classUniversal = 0
	classContext   = 2
)

// Tags of the universal class.
const (
	tagBoolean    = 1
	tagInteger    = 2
	tagBitString  = 3
	tagOctets     = 4
	tagOID        = 6
	tagEnumerated = 10
	tagSequence   = 16
	tagSet        = 17
)

// deepest is how far elements of indefinite length may lie in each other.
const deepest = 16

// is tells an element of the universal class by its tag.
func (t tlv) is(tag int) bool { return t.class == classUniversal && t.tag == tag }

// isContext tells an element by its context-specific tag.
func (t tlv) isContext(tag int) bool { return t.class == classContext && t.tag == tag }

// readTLV reads the first element of b.
func readTLV(b []byte) (t tlv, rest []byte, ok bool) { return readTLVAt(b, 0) }

func readTLVAt(b []byte, depth int) (t tlv, rest []byte, ok bool) {
	if len(b) < 2 || depth > deepest {
		return tlv{}, nil, false
	}
	t = tlv{class: int(b[0] >> 6), compound: b[0]&0x20 != 0, tag: int(b[0] & 0x1f)}
	at := 1
	if t.tag == 0x1f {
		t.tag = 0
		for more := true; more; at++ {
			if at >= len(b) || at > 4 {
				return tlv{}, nil, false
			}
			t.tag, more = t.tag<<7|int(b[at]&0x7f), b[at]&0x80 != 0
		}
	}
	if at >= len(b) {
		return tlv{}, nil, false
	}
	first := b[at]
	at++
	if first == 0x80 {
		return t.indefinite(b, at, depth)
	}
	size := int(first)
	if first > 0x80 {
		size = 0
		for range first & 0x7f {
			if at >= len(b) || size >= 1<<31 {
				return tlv{}, nil, false
			}
			size = size<<8 | int(b[at])
			at++
		}
	}
	if size > len(b)-at {
		return tlv{}, nil, false
	}
	t.body, t.full = b[at:at+size], b[:at+size]
	return t, b[at+size:], true
}

// indefinite reads up to the end-of-contents octets (X.690, Section 8.1.3.6).
func (t tlv) indefinite(b []byte, at, depth int) (tlv, []byte, bool) {
	if !t.compound {
		return tlv{}, nil, false
	}
	for rest := b[at:]; ; {
		if len(rest) >= 2 && rest[0] == 0 && rest[1] == 0 {
			end := len(b) - len(rest)
			t.body, t.full = b[at:end], b[:end+2]
			return t, rest[2:], true
		}
		var ok bool
		if _, rest, ok = readTLVAt(rest, depth+1); !ok {
			return tlv{}, nil, false
		}
	}
}

// each goes through the elements within t, as far as they are well formed and do
// returns true. It tells whether it came to the end of t.
func (t tlv) each(do func(tlv) bool) bool {
	for rest := t.body; len(rest) > 0; {
		var child tlv
		var ok bool
		if child, rest, ok = readTLV(rest); !ok || !do(child) {
			return false
		}
	}
	return true
}

// children are the first few elements within t, as far as they are well formed.
func (t tlv) children(most int) []tlv {
	var list []tlv
	t.each(func(child tlv) bool {
		list = append(list, child)
		return len(list) < most
	})
	return list
}

// child is the element at that place within t; the zero value where there is none.
func (t tlv) child(place int) tlv {
	if list := t.children(place + 1); len(list) > place {
		return list[place]
	}
	return tlv{}
}

// octets are the bytes of an OCTET STRING, which BER may have cut into pieces.
func (t tlv) octets() []byte {
	if !t.compound {
		return t.body
	}
	var all []byte
	t.each(func(piece tlv) bool {
		all = append(all, piece.body...)
		return true
	})
	return all
}

// oid is an object identifier, dotted, or "".
func (t tlv) oid() string {
	if !t.is(tagOID) {
		return ""
	}
	return dotted(t.body)
}

// integer is a small number that is not negative; ok is false for any other.
func (t tlv) integer() (n int, ok bool) {
	if !t.is(tagInteger) || len(t.body) == 0 || len(t.body) > 5 || t.body[0]&0x80 != 0 {
		return 0, false
	}
	for _, b := range t.body {
		n = n<<8 | int(b)
	}
	return n, true
}

// dotted writes the contents of an object identifier.
func dotted(body []byte) string {
	if s := firstOID(append([]byte{tagOID, byte(len(body))}, body...)); len(body) < 0x80 && s != "unknown" {
		return s
	}
	return ""
}
