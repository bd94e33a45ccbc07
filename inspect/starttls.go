package inspect

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// How much a server may say before TLS begins.
const (
	mostLine    = 2 << 10
	mostLines   = 100
	mostMessage = 16 << 10
)

// begin speaks what a protocol has before TLS, until the server is ready for the
// first message of the handshake.
func begin(conn io.ReadWriter, scheme string) error {
	speak := map[string]func(*prelude) error{
		"smtp": (*prelude).smtp, "imap": (*prelude).imap, "pop3": (*prelude).pop3,
		"ldap": (*prelude).ldap, "postgres": (*prelude).postgres, "mysql": (*prelude).mysql,
	}[scheme]
	if speak == nil {
		return nil
	}
	p := &prelude{w: conn, r: bufio.NewReaderSize(conn, mostMessage)}
	if err := speak(p); err != nil {
		return fmt.Errorf("before TLS, %s: %w", scheme, cause(err))
	}
	// What came in the clear must not be taken for part of what follows.
	if p.r.Buffered() > 0 {
		return fmt.Errorf("before TLS, %s: the server said more than its turn was", scheme)
	}
	return nil
}

// prelude is what is said before TLS begins.
type prelude struct {
	r     *bufio.Reader
	w     io.Writer
	lines int
}

func (p *prelude) say(s string) error {
	_, err := io.WriteString(p.w, s)
	return err
}

// line reads a line without its end.
func (p *prelude) line() (string, error) {
	if p.lines++; p.lines > mostLines {
		return "", fmt.Errorf("more than %d lines", mostLines)
	}
	var line []byte
	for {
		b, err := p.r.ReadByte()
		switch {
		case err != nil:
			return "", ended(err)
		case b == '\n':
			return strings.TrimSuffix(string(line), "\r"), nil
		case len(line) == mostLine:
			return "", fmt.Errorf("a line of more than %d bytes", mostLine)
		}
		line = append(line, b)
	}
}

func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server closed the connection")
	}
	return err
}

// refused is an answer that does not lead to TLS.
func refused(answer string) error {
	return fmt.Errorf("the server answered %s", quotedSafe(answer))
}

// reply reads an answer of one or more lines with a code (RFC 5321, Section 4.2).
func (p *prelude) reply(code string) (lines []string, err error) {
	for {
		line, err := p.line()
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(line, code) {
			return nil, refused(line)
		}
		rest := line[len(code):]
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(rest, "-"), " "))
		if !strings.HasPrefix(rest, "-") {
			return lines, nil
		}
	}
}

// smtp is RFC 3207, Section 4.
func (p *prelude) smtp() error {
	if _, err := p.reply("220"); err != nil {
		return err
	}
	if err := p.say("EHLO meshpki.invalid\r\n"); err != nil {
		return err
	}
	can, err := p.reply("250")
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(can, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "STARTTLS") }) {
		return errors.New("the server does not offer STARTTLS")
	}
	if err := p.say("STARTTLS\r\n"); err != nil {
		return err
	}
	_, err = p.reply("220")
	return err
}

// imap is RFC 3501, Section 6.2.1.
func (p *prelude) imap() error {
	const tag = "a1"
	greeting, err := p.line()
	switch {
	case err != nil:
		return err
	case !beginsWith(greeting, "* OK"):
		return refused(greeting)
	}
	if err := p.say(tag + " STARTTLS\r\n"); err != nil {
		return err
	}
	for {
		line, err := p.line()
		switch {
		case err != nil:
			return err
		case beginsWith(line, tag+" OK"):
			return nil
		case !strings.HasPrefix(line, "* "):
			return refused(line)
		}
	}
}

// pop3 is RFC 2595, Section 4.
func (p *prelude) pop3() error {
	greeting, err := p.line()
	switch {
	case err != nil:
		return err
	case !beginsWith(greeting, "+OK"):
		return refused(greeting)
	}
	if err := p.say("STLS\r\n"); err != nil {
		return err
	}
	answer, err := p.line()
	if err == nil && !beginsWith(answer, "+OK") {
		err = refused(answer)
	}
	return err
}

// beginsWith compares without regard to case, and takes whole words.
func beginsWith(line, word string) bool {
	return len(line) >= len(word) && strings.EqualFold(line[:len(word)], word) && (len(line) == len(word) || line[len(word)] == ' ')
}

// postgres is an SSLRequest and its answer of one byte (PostgreSQL's frontend and
// backend protocol, "SSL Session Encryption").
func (p *prelude) postgres() error {
	const request = 80877103
	message := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), request)
	if err := p.say(string(message)); err != nil {
		return err
	}
	switch b, err := p.r.ReadByte(); {
	case err != nil:
		return ended(err)
	case b == 'S':
		return nil
	case b == 'N':
		return errors.New("the server does not offer TLS")
	case b == 'E':
		return errors.New("the server answered with an error")
	default:
		return refused(string([]byte{b}))
	}
}
