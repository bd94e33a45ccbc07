package inspect

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// clip keeps a sentence short however long the name in it is: hostile
// certificates have names of many kilobytes.
func clip(s string) string {
	const most = 120
	s = strings.ToValidUTF8(s, "\uFFFD")
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// quoted is a name as a sentence has it.
func quoted(s string) string { return `"` + clip(s) + `"` }

// reason is the cause within an error that has the name at fault before it.
func reason(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}

// listed joins the first names of a list and counts the rest: "a, b (+3)".
func listed(names []string, most int) string {
	more := ""
	if len(names) > most {
		more = " (+" + strconv.Itoa(len(names)-most) + ")"
		names = names[:most]
	}
	short := make([]string, len(names))
	for i, n := range names {
		short[i] = clip(n)
	}
	return strings.Join(short, ", ") + more
}

// shortName is what a person calls a certificate: its common name, or the first
// name that it has.
func shortName(c *x509.Certificate) string {
	name := c.Subject.CommonName
	switch {
	case name != "":
	case len(c.URIs) > 0:
		name = c.URIs[0].String()
	case len(c.DNSNames) > 0:
		name = c.DNSNames[0]
	case len(c.Subject.Organization) > 0:
		name = c.Subject.Organization[0]
	default:
		name = "serial " + serialHex(c.SerialNumber)
	}
	return clip(name)
}

// serialHex is a serial number in lower-case hex, two digits an octet, with '-'
// before a negative one.
func serialHex(n *big.Int) string {
	if n == nil {
		return ""
	}
	digits, minus := n.Text(16), ""
	if n.Sign() < 0 {
		digits, minus = digits[1:], "-"
	}
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	return minus + digits
}

// shortHex keeps the ends of a long hexadecimal number.
func shortHex(b []byte) string {
	s := hex.EncodeToString(b)
	if len(s) <= 16 {
		return s
	}
	return s[:8] + "…" + s[len(s)-4:]
}

// seconds from a to b; a time.Duration holds no more than 292 years.
func seconds(a, b time.Time) int64 { return b.Unix() - a.Unix() }

// span says how long a number of seconds is in the unit that matters.
func span(s int64) string {
	const minute, hour, day, year = 60, 3600, 86400, 365 * 86400
	if s < 0 {
		s = -s
	}
	switch {
	case s < minute:
		return count(s, "second")
	case s < hour:
		return count(s/minute, "minute")
	case s < 2*day:
		return count(s/hour, "hour")
	case s < 2*year:
		return count(s/day, "day")
	}
	return count(s/year, "year")
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}

// moment is a point in time to the minute, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
