package pemfile

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
)

// Blocks as they are nearly always written, without headers and in lines of 64
// characters (RFC 7468, Section 3), are read and written here: a pass over many sets
// does it so often that encoding/pem can be seen in it. All else is left to that.

const (
	begin  = "-----BEGIN "
	end    = "-----END "
	dashes = "-----\n"
	line   = 64
	inLine = line / 4 * 3
)

// next reads the next PEM block, as pem.Decode does: its type, its bytes, and what
// stands behind it.
func next(data []byte) (kind string, der, rest []byte, ok bool) {
	if kind, der, rest, ok = usual(data); ok {
		return kind, der, rest, true
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return "", nil, data, false
	}
	return block.Type, block.Bytes, rest, true
}

// usual reads a certificate that begins with the first byte of a text, if it is written
// as appendBlock writes it.
func usual(data []byte) (kind string, der, rest []byte, ok bool) {
	body, ok := bytes.CutPrefix(data, []byte(begin+TypeCertificate+dashes))
	if !ok {
		return "", nil, nil, false
	}
	size := bytes.IndexByte(body, '-')
	if size <= 0 {
		return "", nil, nil, false
	}
	if rest, ok = bytes.CutPrefix(body[size:], []byte(end+TypeCertificate+dashes)); !ok {
		return "", nil, nil, false
	}
	body = body[:size]
	der = make([]byte, (size/(line+1)+1)*inLine)
	n := 0
	for len(body) > 0 {
		text, behind, whole := bytes.Cut(body, []byte("\n"))
		if !whole || len(text) > line || len(text) < line && len(behind) > 0 {
			return "", nil, nil, false
		}
		k, err := base64.StdEncoding.Decode(der[n:], text)
		if err != nil || k == 0 || k < inLine && len(behind) > 0 || bytes.IndexByte(text, '\r') >= 0 {
			return "", nil, nil, false
		}
		n, body = n+k, behind
	}
	return TypeCertificate, der[:n], rest, true
}

// blockSize is how many bytes a block takes.
func blockSize(kind string, size int) int {
	text := base64.StdEncoding.EncodedLen(size)
	return len(begin) + len(end) + 2*len(kind) + 2*len(dashes) + text + (text+line-1)/line
}

// appendBlock writes a block as pem.Encode does.
func appendBlock(b []byte, kind string, der []byte) []byte {
	b = append(append(append(b, begin...), kind...), dashes...)
	for len(der) > 0 {
		n := min(inLine, len(der))
		b = base64.StdEncoding.AppendEncode(b, der[:n])
		b, der = append(b, '\n'), der[n:]
	}
	return append(append(append(b, end...), kind...), dashes...)
}
