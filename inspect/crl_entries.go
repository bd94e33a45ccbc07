package inspect

import (
	"bytes"
	"hash/maphash"
	"math/big"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// crlEntries are the revoked certificates of a list, as they stand in it, and an
// index that is made when they are first asked: a place in the list for each
// serial number, and nothing else.
type crlEntries struct {
	der     []byte
	count   int
	issuers []entryIssuer // where the issuer of the entries changes, in order
	once    sync.Once
	seed    maphash.Seed
	slots   []uint32 // 1 + the place of an entry in der, 0 for none
}

// entryIssuer says whose certificates stand from a place in the list on, until
// another says otherwise (RFC 5280, Section 5.3.3).
type entryIssuer struct {
	from   uint32
	issuer string // canonical
}

// crlEntry is what a list says of a certificate.
type crlEntry struct {
	at     time.Time
	reason int
}

// readEntries goes over every entry once, strictly.
func (l *RevocationList) readEntries(tbs *cryptobyte.String, version int) error {
	if !tbs.PeekASN1Tag(cbasn1.SEQUENCE) {
		return nil
	}
	var list cryptobyte.String
	if !tbs.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return crlError("its list of revoked certificates is empty: it must not be there then")
	}
	const most = 1 << 31
	if len(list) >= most {
		return crlError("it is too long")
	}
	l.entries.der = list
	total := len(list)
	for !list.Empty() {
		from := total - len(list)
		_, extensions, ok := readEntry(&list)
		if !ok {
			return crlError("a revoked certificate in it is not written as the standard has it")
		}
		l.entries.count++
		if len(extensions) == 0 {
			continue
		}
		if version != 1 {
			return crlError("it is of version 1, and its entries have extensions")
		}
		if err := l.readEntryExtensions(extensions, from); err != nil {
			return err
		}
	}
	return nil
}

// readEntry takes one entry off the list: its serial number as it stands, and its
// extensions.
func readEntry(list *cryptobyte.String) (serial, extensions []byte, ok bool) {
	var entry, number, ext cryptobyte.String
	if !list.ReadASN1(&entry, cbasn1.SEQUENCE) || !entry.ReadASN1(&number, cbasn1.INTEGER) || len(number) == 0 {
		return nil, nil, false
	}
	if !skipTime(&entry) {
		return nil, nil, false
	}
	if entry.Empty() {
		return number, nil, true
	}
	if !entry.ReadASN1(&ext, cbasn1.SEQUENCE) || ext.Empty() || !entry.Empty() {
		return nil, nil, false
	}
	return number, ext, true
}

// skipTime passes over a time; the usual form is judged by its digits, which is
// much quicker than to read it.
func skipTime(s *cryptobyte.String) bool {
	const usual = 13 // YYMMDDHHMMSSZ
	before := *s
	var value cryptobyte.String
	if s.ReadASN1(&value, cbasn1.UTCTime) && len(value) == usual && value[usual-1] == 'Z' && soundDigits(value[:usual-1]) {
		return true
	}
	*s = before
	_, ok := readTime(s)
	return ok
}

// soundDigits tells whether YYMMDDHHMMSS can be a time; days that a month does
// not have pass for days of the next.
func soundDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	return two(2) >= 1 && two(2) <= 12 && two(4) >= 1 && two(4) <= 31 && two(6) <= 23 && two(8) <= 59 && two(10) <= 59
}

func (l *RevocationList) readEntryExtensions(list cryptobyte.String, from int) error {
	for !list.Empty() {
		oid, critical, value, ok := readExtension(&list)
		if !ok {
			return crlError("an extension of an entry is none")
		}
		switch oid {
		case oidReasonCode, oidInvalidity:
		case oidEntryIssuer:
			names, err := readGeneralNames(value)
			if err != nil {
				return crlError("the issuer of an entry is no list of names")
			}
			for _, n := range names {
				if n.kind == tagDirectory {
					l.entries.issuers = append(l.entries.issuers, entryIssuer{uint32(from), canonicalName(n.der)})
				}
			}
		default:
			if critical && l.unknown == "" {
				l.unknown = dottedOID(oid)
			}
		}
	}
	return nil
}

// find gives what the list says of a certificate. For a list of one issuer's
// certificates issuer is that one's name.
func (l *RevocationList) find(serial *big.Int, issuer string) (crlEntry, bool) {
	e := &l.entries
	e.once.Do(e.index)
	if len(e.slots) == 0 {
		return crlEntry{}, false
	}
	want := serialOctets(serial)
	for i := maphash.Bytes(e.seed, want) & uint64(len(e.slots)-1); e.slots[i] != 0; i = (i + 1) & uint64(len(e.slots)-1) {
		from := e.slots[i] - 1
		rest := cryptobyte.String(e.der[from:])
		number, extensions, _ := readEntry(&rest)
		if bytes.Equal(number, want) && l.issuerOf(from) == issuer {
			return readFound(e.der[from:], extensions), true
		}
	}
	return crlEntry{}, false
}

// index is an open hash table at most half full.
func (e *crlEntries) index() {
	if e.count == 0 {
		return
	}
	size := 4
	for size < 2*e.count {
		size *= 2
	}
	e.seed, e.slots = maphash.MakeSeed(), make([]uint32, size)
	total := len(e.der)
	for list := cryptobyte.String(e.der); !list.Empty(); {
		from := total - len(list)
		var entry, number cryptobyte.String
		if !list.ReadASN1(&entry, cbasn1.SEQUENCE) || !entry.ReadASN1(&number, cbasn1.INTEGER) {
			return // it was read before: this does not happen
		}
		i := maphash.Bytes(e.seed, number) & uint64(size-1)
		for e.slots[i] != 0 {
			i = (i + 1) & uint64(size-1)
		}
		e.slots[i] = uint32(from) + 1
	}
}

// issuerOf is the issuer of the certificate that the entry at a place is about.
func (l *RevocationList) issuerOf(from uint32) string {
	issuer := l.issuer
	for _, e := range l.entries.issuers {
		if e.from > from {
			break
		}
		issuer = e.issuer
	}
	return issuer
}

// serialOctets is a number as DER has it.
func serialOctets(n *big.Int) []byte {
	var b cryptobyte.Builder
	b.AddASN1BigInt(n)
	der, err := b.Bytes()
	if err != nil {
		return nil
	}
	s := cryptobyte.String(der)
	var content cryptobyte.String
	s.ReadASN1(&content, cbasn1.INTEGER)
	return content
}

func readFound(der, extensions []byte) crlEntry {
	var found crlEntry
	list := cryptobyte.String(der)
	var entry, number cryptobyte.String
	if list.ReadASN1(&entry, cbasn1.SEQUENCE) && entry.ReadASN1(&number, cbasn1.INTEGER) {
		found.at, _ = readTime(&entry)
	}
	for ext := cryptobyte.String(extensions); !ext.Empty(); {
		oid, _, value, ok := readExtension(&ext)
		if !ok {
			break
		}
		v := cryptobyte.String(value)
		if oid == oidReasonCode && v.ReadASN1Enum(&found.reason) {
			break
		}
	}
	return found
}
