package inspect

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// encoding/pem passes over what it cannot decode. Here every line that opens or
// closes a block is accounted for, so this file has a reader of its own
// (RFC 7468, Section 2), which allows white space before every line.

var (
	pemBegin = []byte("-----BEGIN ")
	pemEnd   = []byte("-----END ")
	pemDash  = []byte("-----")
)

// hasPEM tells whether any line of data opens or closes a PEM block.
func hasPEM(data []byte) bool {
	return bytes.Contains(data, pemBegin) || bytes.Contains(data, pemEnd)
}

// pemReader goes through text line by line.
type pemReader struct {
	rest []byte
	line int // number of the line read last
}

// next gives the next line without the white space around it.
func (r *pemReader) next() ([]byte, bool) {
	if len(r.rest) == 0 {
		return nil, false
	}
	r.line++
	line, rest, _ := bytes.Cut(r.rest, []byte("\n"))
	r.rest = rest
	return bytes.TrimSpace(line), true
}

// peekBegin tells whether the next line opens a block.
func (r *pemReader) peekBegin() bool {
	return bytes.HasPrefix(bytes.TrimLeft(r.rest, " \t"), pemBegin)
}

// skip goes behind the END of a block that nothing will be made of.
func (r *pemReader) skip() {
	for !r.peekBegin() {
		if line, ok := r.next(); !ok || bytes.HasPrefix(line, pemEnd) {
			return
		}
	}
}

// pemBlock is the text of one block.
type pemBlock struct {
	label     string
	line      int // of its BEGIN
	encrypted bool
	body      []byte // base64, line after line
	starts    []int  // where in body each line starts
	first     int    // number of the first line of body
}

// parsePEM reads all blocks of text.
func (o ParseOptions) parsePEM(data []byte) []Object {
	r := &pemReader{rest: bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))}
	var objects []Object
	for len(objects) <= mostObjects {
		line, ok := r.next()
		if !ok {
			break
		}
		switch {
		case bytes.HasPrefix(line, pemBegin):
			b, err := r.block(line)
			objects = append(objects, b.objects(o, err)...)
		case bytes.HasPrefix(line, pemEnd):
			label := string(bytes.TrimSuffix(line[len(pemEnd):], pemDash))
			err := fmt.Errorf("the END at line %d has no BEGIN before it: the start of this block is missing", r.line)
			objects = append(objects, Object{Kind: kindOfLabel(label), Line: r.line, Label: label, Err: err})
		}
	}
	if len(objects) == 0 {
		err := errors.New("the -----BEGIN or -----END of a PEM block does not start its line; were its line breaks lost?")
		objects = append(objects, Object{Kind: KindOther, Err: err})
	}
	return objects
}

// block reads on behind a BEGIN line up to its END.
func (r *pemReader) block(begin []byte) (*pemBlock, error) {
	b := &pemBlock{line: r.line, first: r.line + 1}
	label, behind, closed := bytes.Cut(begin[len(pemBegin):], pemDash)
	b.label = string(label)
	switch {
	case !closed:
		r.skip()
		return b, fmt.Errorf("the BEGIN at line %d is damaged: it must end with -----", b.line)
	case len(behind) > 0:
		if !bytes.Contains(behind, pemEnd) {
			r.skip()
		}
		return b, fmt.Errorf("there is text behind the BEGIN at line %d; were its line breaks lost?", b.line)
	}
	const usual = 2 << 10 // no piece of a key is left behind where the bytes grew from
	b.body, b.starts = make([]byte, 0, usual), make([]int, 0, usual/64)
	for {
		if len(r.rest) == 0 || r.peekBegin() {
			return b, fmt.Errorf("the block that begins at line %d has no END: it is cut off after line %d", b.line, r.line)
		}
		line, _ := r.next()
		if end, found := bytes.CutPrefix(line, pemEnd); found {
			want := b.label + string(pemDash)
			if next, joined := bytes.CutPrefix(end, []byte(want)); joined && bytes.HasPrefix(next, pemBegin) {
				err := fmt.Errorf("the block that begins at line %d ends at line %d, and another begins on that same line: put a line break between them", b.line, r.line)
				r.skip()
				return b, err
			}
			if string(end) != want {
				return b, fmt.Errorf("the block that begins at line %d as %q ends at line %d as %q", b.line, clip(b.label), r.line, clip(string(bytes.TrimSuffix(end, pemDash))))
			}
			return b, nil
		}
		b.add(line)
	}
}

// add takes one line of a block: a header (RFC 1421, Section 4.6) or base64.
func (b *pemBlock) add(line []byte) {
	if len(b.body) == 0 && bytes.IndexByte(line, ':') > 0 {
		b.encrypted = b.encrypted || bytes.HasPrefix(line, []byte("DEK-Info:"))
		line = nil
	}
	b.starts = append(b.starts, len(b.body))
	b.body = append(b.body, line...)
}

// objects parses what the block holds; err is what is wrong with the block itself.
func (b *pemBlock) objects(o ParseOptions, err error) []Object {
	kind := kindOfLabel(b.label)
	found := Object{Kind: kind, Line: b.line, Label: b.label, Err: err}
	if kind == KindKey {
		defer clear(b.body)
	}
	if err != nil || kind == KindOther {
		return []Object{found}
	}
	if kind == KindKey && b.encrypted {
		found.Encrypted = true
		return []Object{found}
	}
	der, err := b.decode()
	if err != nil {
		found.Err = err
		return []Object{found}
	}
	if kind == KindKey {
		defer clear(der)
	}
	if b.label == "TRUSTED CERTIFICATE" {
		der = firstElement(der)
	}
	list := o.objectsOf(kind, der)
	for i := range list {
		list[i].Line, list[i].Label = b.line, b.label
		if list[i].Unreadable() {
			list[i].Err = fmt.Errorf("the block at line %d: %w", b.line, list[i].Err)
		}
	}
	return list
}

// decode gives the bytes of the block.
func (b *pemBlock) decode() ([]byte, error) {
	if len(b.body) == 0 {
		return nil, fmt.Errorf("the block at line %d is empty", b.line)
	}
	der := make([]byte, base64.StdEncoding.DecodedLen(len(b.body)))
	n, err := base64.StdEncoding.Decode(der, b.body)
	if err == nil {
		return der[:n], nil
	}
	clear(der)
	line := b.first
	if at, ok := errors.AsType[base64.CorruptInputError](err); ok {
		for i, start := range b.starts {
			if int64(start) <= int64(at) {
				line = b.first + i
			}
		}
	}
	return nil, fmt.Errorf("the block at line %d is damaged: line %d is not base64, or some of it is missing", b.line, line)
}

// kindOfLabel tells what a block of that type holds (RFC 7468, and the names
// that OpenSSL and its elders used).
func kindOfLabel(label string) Kind {
	switch {
	case label == pemfile.TypeCertificate, label == "X509 CERTIFICATE", label == "TRUSTED CERTIFICATE":
		return KindCertificate
	case label == pemfile.TypeRequest, label == "NEW CERTIFICATE REQUEST":
		return KindRequest
	case label == pemfile.TypeCRL, label == "CRL":
		return KindCRL
	case label == "PUBLIC KEY":
		return KindPublicKey
	case label == "PKCS7", label == "CMS", label == "PKCS #7 SIGNED DATA":
		return KindPKCS7
	case label == "PKCS12":
		return KindKeystore
	case label == "OCSP RESPONSE":
		return KindOCSP
	case pemfile.IsKeyBlock(label), label == "DSA PRIVATE KEY", label == "OPENSSH PRIVATE KEY", label == "ANY PRIVATE KEY":
		return KindKey
	}
	return KindOther
}

// firstElement drops what OpenSSL writes behind the certificate of a TRUSTED
// CERTIFICATE block.
func firstElement(der []byte) []byte {
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return der
	}
	return v.FullBytes
}
