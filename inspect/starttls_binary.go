package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// startTLS asks an LDAP server for TLS: an ExtendedRequest with messageID 1 and the
// name 1.3.6.1.4.1.1466.20037 (RFC 4511, Section 4.14.1).
const startTLS = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"

func (p *prelude) ldap() error {
	if err := p.say(startTLS); err != nil {
		return err
	}
	tag, length, err := p.element()
	switch {
	case err != nil:
		return err
	case tag != 0x30 || length > mostMessage:
		return errors.New("the server's answer is no LDAP message")
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(p.r, message); err != nil {
		return ended(err)
	}
	code, text, err := extendedResult(message)
	switch {
	case err != nil:
		return err
	case code != 0:
		return fmt.Errorf("the server refused with result code %d, %s", code, quotedSafe(text))
	}
	return nil
}

// element reads a BER tag and length from the connection.
func (p *prelude) element() (tag byte, length int, err error) {
	var head []byte
	for {
		b, err := p.r.ReadByte()
		if err != nil {
			return 0, 0, ended(err)
		}
		head = append(head, b)
		if tag, length, n := ber(head); n > 0 {
			return tag, length, nil
		}
		if len(head) == 6 {
			return 0, 0, errors.New("the server's answer is no LDAP message")
		}
	}
}

// ber reads the head of an element with a tag of one byte and a definite length, as
// LDAP has them (RFC 4511, Section 5.1). The length may be longer than it has to be,
// which Active Directory makes use of, and DER would refuse. n is the head's size, 0
// where it is not whole or none.
func ber(b []byte) (tag byte, length, n int) {
	if len(b) < 2 {
		return 0, 0, 0
	}
	if b[1] < 0x80 {
		return b[0], int(b[1]), 2
	}
	size := int(b[1] & 0x7f)
	if size == 0 || size > 4 || len(b) < 2+size {
		return 0, 0, 0
	}
	var long int64
	for _, d := range b[2 : 2+size] {
		long = long<<8 | int64(d)
	}
	if long > mostMessage {
		return b[0], mostMessage + 1, 2 + size
	}
	return b[0], int(long), 2 + size
}

// next takes one element off some bytes.
func next(b []byte) (tag byte, body, rest []byte, ok bool) {
	tag, length, n := ber(b)
	if n == 0 || length > len(b)-n {
		return 0, nil, nil, false
	}
	return tag, b[n : n+length], b[n+length:], true
}

// extendedResult reads the result code and the diagnostic message of an
// ExtendedResponse to message 1 (RFC 4511, Sections 4.1.9 and 4.12).
func extendedResult(message []byte) (code int, text string, err error) {
	wrong := errors.New("the server's answer is no answer to StartTLS")
	tag, id, rest, ok := next(message)
	if !ok || tag != 0x02 || len(id) != 1 || id[0] != 1 {
		return 0, "", wrong
	}
	tag, response, _, ok := next(rest)
	if !ok || tag != 0x78 {
		return 0, "", wrong
	}
	tag, result, rest, ok := next(response)
	if !ok || tag != 0x0a || len(result) != 1 {
		return 0, "", wrong
	}
	if _, _, rest, ok = next(rest); ok { // matchedDN
		if tag, diagnostic, _, ok := next(rest); ok && tag == 0x04 {
			text = string(diagnostic)
		}
	}
	return int(result[0]), text, nil
}

// Capabilities of MySQL's protocol.
const (
	mysqlProtocol41       = 0x00000200
	mysqlTLS              = 0x00000800
	mysqlSecureConnection = 0x00008000
)

// mysql waits for the server's greeting and asks for TLS (MySQL's client/server
// protocol, Protocol::HandshakeV10 and Protocol::SSLRequest). MariaDB's is the same.
func (p *prelude) mysql() error {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return ended(err)
	}
	length := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if length == 0 || length > mostMessage {
		return errors.New("the server's greeting is none of MySQL's")
	}
	greeting := make([]byte, length)
	if _, err := io.ReadFull(p.r, greeting); err != nil {
		return ended(err)
	}
	can, err := mysqlCapabilities(greeting)
	switch {
	case err != nil:
		return err
	case can&mysqlTLS == 0:
		return errors.New("the server does not offer TLS")
	}
	const most, utf8mb4 = 1 << 24, 45
	request := []byte{32, 0, 0, head[3] + 1}
	request = binary.LittleEndian.AppendUint32(request, mysqlProtocol41|mysqlTLS|mysqlSecureConnection)
	request = binary.LittleEndian.AppendUint32(request, most)
	request = append(append(request, utf8mb4), make([]byte, 23)...)
	return p.say(string(request))
}

// mysqlCapabilities reads the lower half of a greeting's capabilities, in which TLS is.
func mysqlCapabilities(greeting []byte) (uint32, error) {
	wrong := errors.New("the server's greeting is none of MySQL's")
	switch greeting[0] {
	case 0xff: // an error: its number, then text
		return 0, refused(string(greeting[min(3, len(greeting)):]))
	case 10:
	default:
		return 0, wrong
	}
	rest := greeting[1:]
	for i, b := range rest { // the version, ended by a zero
		if b != 0 {
			continue
		}
		const skipped = 4 + 8 + 1 // thread, first half of the scramble, filler
		rest = rest[i+1:]
		if len(rest) < skipped+2 {
			return 0, wrong
		}
		return uint32(binary.LittleEndian.Uint16(rest[skipped:])), nil
	}
	return 0, wrong
}
