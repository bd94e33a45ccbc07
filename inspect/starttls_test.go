package inspect_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// turn is one exchange: what the server says at once or after it heard that.
type turn struct{ hears, says string }

// talk plays turns, each with exactly the bytes that are expected.
func talk(turns ...turn) func(io.ReadWriter) error {
	return func(rw io.ReadWriter) error {
		for _, turn := range turns {
			heard := make([]byte, len(turn.hears))
			if _, err := io.ReadFull(rw, heard); err != nil {
				return err
			}
			if string(heard) != turn.hears {
				return fmt.Errorf("heard %q", heard)
			}
			if _, err := io.WriteString(rw, turn.says); err != nil {
				return err
			}
		}
		return nil
	}
}

const (
	ehlo = "EHLO meshpki.invalid\r\n"
	// ldapRequest is an ExtendedRequest for StartTLS, and ldapGood its answers: as OpenLDAP
	// gives them, and with the long lengths of Active Directory.
	ldapRequest = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
	ldapGood    = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
	ldapLong    = "\x30\x84\x00\x00\x00\x28\x02\x01\x01\x78\x84\x00\x00\x00\x1f\x0a\x01\x00\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20037"
	ldapRefusal = "\x30\x18\x02\x01\x01\x78\x13\x0a\x01\x34\x04\x00\x04\x0cno TLS here\x1b"
	pgRequest   = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
)

// greeting is a HandshakeV10 with that lower half of capabilities.
func greeting(capabilities uint16) string {
	payload := "\x0a8.0.36\x00" + "\x2a\x00\x00\x00" + "abcdefgh\x00" + string([]byte{byte(capabilities), byte(capabilities >> 8)}) +
		"\xff\x02\x00\xff\xdf\x15" + strings.Repeat("\x00", 10) + "ijklmnopqrst\x00" + "caching_sha2_password\x00"
	return string([]byte{byte(len(payload)), 0, 0, 0}) + payload
}

// sslRequest is MySQL's, numbered after a greeting.
const sslRequest = "\x20\x00\x00\x01" + "\x00\x8a\x00\x00" + "\x00\x00\x00\x01" + "\x2d" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func TestStartTLS(t *testing.T) {
	id, chain := identity(t)
	for name, talk := range map[string]func(io.ReadWriter) error{
		"smtp": talk(turn{"", "220-mail ESMTP\r\n220 ready\r\n"}, turn{ehlo, "250-mail\r\n250-PIPELINING\r\n250-starttls\r\n250 HELP\r\n"}, turn{"STARTTLS\r\n", "220 go\r\n"}),
		"imap": talk(turn{"", "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"}, turn{"a1 STARTTLS\r\n", "* BAD is only a word here\r\na1 OK go\r\n"}),
		"pop3": talk(turn{"", "+OK <1.2@mail>\r\n"}, turn{"STLS\r\n", "+OK\n"}),
		"ldap": talk(turn{ldapRequest, ldapGood}), "ldap ": talk(turn{ldapRequest, ldapLong}),
		"postgres": talk(turn{pgRequest, "S"}),
		"mysql":    talk(turn{"", greeting(0xffff)}, turn{sslRequest, ""}),
	} {
		t.Run(name, func(t *testing.T) {
			at := (&server{talk: talk, config: &tls.Config{Certificates: []tls.Certificate{id}}}).listen(t)
			e := endpoint(t, strings.TrimSpace(name)+"://"+at)
			got, err := inspect.Probe(t.Context(), inspect.ProbeOptions{Endpoint: e})
			if err != nil || !same(got.Chain, chain) || got.Version != tls.VersionTLS13 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestStartTLSRefused are servers that do not begin TLS, or lie about it.
func TestStartTLSRefused(t *testing.T) {
	long := strings.Repeat("x", 3000)
	many := strings.Repeat("* OK still here\r\n", 200)
	for _, test := range []struct {
		scheme string
		talk   func(io.ReadWriter) error
		want   string
	}{
		{"smtp", talk(turn{"", "554 no\r\n"}), `the server answered "554 no"`},
		{"smtp", talk(turn{"", "220 a\r\n"}, turn{ehlo, "250 a\r\n"}), "the server does not offer STARTTLS"},
		{"smtp", talk(turn{"", "220 a\r\n"}, turn{ehlo, "250-a\r\n250 STARTTLS\r\n"}, turn{"STARTTLS\r\n", "454 \x1b[31mlater\r\n"}), `the server answered "454 \x1b[31mlater"`},
		{"smtp", talk(turn{"", "220 a\r\n"}, turn{ehlo, "250-a\r\n250 STARTTLS\r\n"}, turn{"STARTTLS\r\n", "220 go\r\n250 injected\r\n"}), "the server said more than its turn was"},
		{"smtp", talk(turn{"", long}), "a line of more than 2048 bytes"},
		{"smtp", talk(turn{"", strings.Repeat("220-a\r\n", 200)}), "more than 100 lines"},
		{"imap", talk(turn{"", "* BYE\r\n"}), `the server answered "* BYE"`},
		{"imap", talk(turn{"", "* OK\r\n"}, turn{"a1 STARTTLS\r\n", "a1 NO\r\n"}), `the server answered "a1 NO"`},
		{"imap", talk(turn{"", "* OKAY\r\n"}), `the server answered "* OKAY"`},
		{"imap", talk(turn{"", "* OK\r\n"}, turn{"a1 STARTTLS\r\n", many}), "more than 100 lines"},
		{"pop3", talk(turn{"", "-ERR\r\n"}), `the server answered "-ERR"`},
		{"pop3", talk(turn{"", "+OK\r\n"}, turn{"STLS\r\n", "-ERR no\r\n"}), `the server answered "-ERR no"`},
		{"pop3", talk(turn{"", ""}), "the server closed the connection"},
		{"ldap", talk(turn{ldapRequest, ldapRefusal}), `the server refused with result code 52, "no TLS here\x1b"`},
		{"ldap", talk(turn{ldapRequest, "\x30\x84\x7f\xff\xff\xff"}), "the server's answer is no LDAP message"},
		{"ldap", talk(turn{ldapRequest, "\x30\x80\x00\x00\x00\x00"}), "the server's answer is no LDAP message"},
		{"ldap", talk(turn{ldapRequest, "HTTP/1.1 400\r\n" + long}), "the server's answer is no LDAP message"},
		{"ldap", talk(turn{ldapRequest, "\x30\x03\x02\x01\x02"}), "the server's answer is no answer to StartTLS"},
		{"ldap", talk(turn{ldapRequest, ldapGood + "\x30"}), "the server said more than its turn was"},
		{"ldap", talk(turn{ldapRequest, "\x30\x0c\x02"}), "the server closed the connection"},
		{"postgres", talk(turn{pgRequest, "N"}), "the server does not offer TLS"},
		{"postgres", talk(turn{pgRequest, "E"}), "the server answered with an error"},
		{"postgres", talk(turn{pgRequest, "H"}), `the server answered "H"`},
		{"postgres", talk(turn{pgRequest, "SS"}), "the server said more than its turn was"},
		{"postgres", talk(turn{pgRequest, ""}), "the server closed the connection"},
		{"mysql", talk(turn{"", greeting(0xf7ff)}), "the server does not offer TLS"},
		{"mysql", talk(turn{"", "\x17\x00\x00\x00\xff\x6a\x04Host is not allowed\x1b"}), `the server answered "Host is not allowed\x1b"`},
		{"mysql", talk(turn{"", "\xff\xff\xff\x00" + long}), "the server's greeting is none of MySQL's"},
		{"mysql", talk(turn{"", "\x00\x00\x00\x00"}), "the server's greeting is none of MySQL's"},
		{"mysql", talk(turn{"", "\x02\x00\x00\x00\x0a8"}), "the server's greeting is none of MySQL's"},
		{"mysql", talk(turn{"", "\x03\x00\x00\x00\x0a8\x00"}), "the server's greeting is none of MySQL's"},
		{"mysql", talk(turn{"", "\x50\x00\x00\x00\x0a8"}), "the server closed the connection"},
	} {
		at := (&server{talk: test.talk}).listen(t)
		e := endpoint(t, test.scheme+"://"+at)
		_, err := inspect.Probe(t.Context(), inspect.ProbeOptions{Endpoint: e, Timeout: 5 * time.Second})
		if want := "looking at " + e.String() + ": before TLS, " + test.scheme + ": " + test.want; err == nil || err.Error() != want {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// TestStartTLSEndless: a server that never ends its turn is left when the time is up.
func TestStartTLSEndless(t *testing.T) {
	slow := func(rw io.ReadWriter) error {
		for {
			if _, err := io.WriteString(rw, "2"); err != nil {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	at := (&server{talk: slow}).listen(t)
	_, err := inspect.Probe(t.Context(), inspect.ProbeOptions{Endpoint: endpoint(t, "smtp://"+at), Timeout: 100 * time.Millisecond})
	if err == nil || !strings.HasSuffix(err.Error(), "no answer within 100ms") {
		t.Error(err)
	}
}
