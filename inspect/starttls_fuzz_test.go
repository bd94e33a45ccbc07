package inspect

import (
	"bytes"
	"io"
	"slices"
	"testing"
)

// script is a server that says what it says whatever it hears, and counts how much
// of it was read.
type script struct {
	io.Reader
	heard bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.heard.Write(p) }

var preludes = []string{"smtp", "imap", "pop3", "ldap", "postgres", "mysql"}

// FuzzStartTLS: whatever a server says before TLS, it is read without a panic, no more
// of it than is allowed, and what is left over is never good.
func FuzzStartTLS(f *testing.F) {
	for i, seed := range []string{
		"220 a\r\n250-a\r\n250 STARTTLS\r\n220 go\r\n", "* OK\r\n* x\r\na1 OK\r\n", "+OK\r\n+OK\r\n",
		"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00", "S", "\x12\x00\x00\x00\x0a8\x00aaaabbbbbbbb\x00\xff\xff",
	} {
		if err := begin(&script{Reader: bytes.NewReader([]byte(seed))}, preludes[i]); err != nil {
			f.Errorf("%s: %v", preludes[i], err)
		}
		f.Add(uint8(i), []byte(seed))
	}
	f.Add(uint8(3), []byte("\x30\x84\x00\x00\x00\x28\x02\x01\x01\x78\x84\x00\x00\x00\x1f\x0a\x01\x00\x04\x00\x04\x00"))
	f.Add(uint8(5), []byte("\x03\x00\x00\x00\xff\x01"))
	f.Fuzz(func(t *testing.T, which uint8, said []byte) {
		rest := bytes.NewReader(said)
		s := &script{Reader: rest}
		err := begin(s, preludes[int(which)%len(preludes)])
		const most = mostLine*mostLines + 2*mostMessage
		if read := len(said) - rest.Len(); read > most {
			t.Errorf("%d bytes were read", read)
		}
		if err == nil && rest.Len() > 0 && len(said) <= mostMessage {
			t.Errorf("%d bytes came in the clear and were left for TLS", rest.Len())
		}
		if s.heard.Len() > 200 {
			t.Errorf("%d bytes were said", s.heard.Len())
		}
	})
}

// FuzzBER: an element lies within its bytes, whatever its length says.
func FuzzBER(f *testing.F) {
	f.Add([]byte("\x04\x82\x00\x01x"))
	f.Add([]byte("\x30\x84\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, body, rest, ok := next(b); ok && !slices.Equal(b[len(b)-len(rest)-len(body):], slices.Concat(body, rest)) {
			t.Errorf("%x is %x and %x", b, body, rest)
		}
		_, _, _ = extendedResult(b)
		if len(b) > 0 {
			_, _ = mysqlCapabilities(b)
		}
	})
}
