package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// spans are the units of a duration that Go does not know. A year is 365 days:
// a lifetime that is meant to the day is better given in days.
var spans = map[string]time.Duration{"d": day, "w": 7 * day, "y": 365 * day}

// ParseDuration reads a duration as Go writes it and with d, w and y besides, in
// any mix: "90d", "1y" (365 days), "2w", "1d12h", "1.5h". It is never negative.
// One that is longer than about 292 years is an error.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("%s is negative: a duration such as 90d or 1y is expected", quote(s))
	}
	if s == "" || len(s) > 100 {
		return 0, notDuration(s)
	}
	var sum time.Duration
	for rest := s; rest != ""; {
		var number, unit string
		number, unit, rest = cutTerm(rest)
		d, err := term(number, unit)
		if errors.Is(err, errTooLong) || err == nil && d > math.MaxInt64-sum {
			return 0, fmt.Errorf("%s is longer than 292 years", quote(s))
		}
		if err != nil {
			return 0, notDuration(s)
		}
		sum += d
	}
	return sum, nil
}

var errTooLong = errors.New("too long")

func notDuration(s string) error {
	if s != "" && strings.Trim(s, "0123456789.") == "" {
		return fmt.Errorf("%s has no unit: s, m (minutes), h, d, w or y, as in 90d", quote(s))
	}
	return fmt.Errorf("%s is no duration: numbers and units (s, m, h, d, w, y) such as 90d, 1y or 1d12h are expected", quote(s))
}

// cutTerm takes the first number and its unit off a duration.
func cutTerm(s string) (number, unit, rest string) {
	i := 0
	for i < len(s) && (s[i] == '.' || '0' <= s[i] && s[i] <= '9') {
		i++
	}
	j := i
	for j < len(s) && s[j] != '.' && (s[j] < '0' || s[j] > '9') {
		j++
	}
	return s[:i], s[i:j], s[j:]
}

// term is one number with its unit.
func term(number, unit string) (time.Duration, error) {
	if number == "" || strings.Trim(number, ".") == "" {
		return 0, errors.New("no number")
	}
	span, ours := spans[unit]
	if !ours {
		switch unit {
		case "ns", "us", "µs", "μs", "ms", "s", "m", "h":
			return goDuration(number + unit)
		}
		return 0, errors.New("no unit")
	}
	// As many hours as there are days, and that 24 times: exact, fractions too.
	d, err := goDuration(number + "h")
	if err != nil {
		return 0, err
	}
	times := span / time.Hour
	if d > math.MaxInt64/times {
		return 0, errTooLong
	}
	return d * times, nil
}

// goDuration reads one well-formed term; all that can be wrong with it is its size.
func goDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil && strings.Count(s, ".") < 2 {
		return 0, errTooLong
	}
	return d, err
}

// ParseTime reads a point in time: RFC 3339 ("2027-01-31T12:00:00Z"), or a
// duration from now as ParseDuration takes it.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	d, err := ParseDuration(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is no point in time: 2027-01-31T12:00:00Z (RFC 3339), or a duration from now such as 90d, is expected", quote(s))
	}
	return now.Add(d), nil
}

// ParsePercent reads a part of a lifetime, "1%" to "99%", as a whole number.
func ParsePercent(s string) (int, error) {
	digits, ok := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > 99 || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%s is no part of a lifetime: 1%% to 99%% is expected, such as 66%%", quote(s))
	}
	return n, nil
}

// ParseMode reads the permissions of a private key in octal, "0640". What would
// leave the key open to everybody on the machine is refused, as is a mode that
// not even its owner could read.
func ParseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 16)
	switch {
	case err != nil || len(s) < 3 || len(s) > 4 || n > 0o777:
		return 0, fmt.Errorf(`%s is no file mode: three octal digits behind a 0 are expected, such as "0640"`, quote(s))
	case n&0o007 != 0:
		return 0, fmt.Errorf(`%s opens the private key to everybody on the machine: "0600", or "0640" for a group, is right`, quote(s))
	case n&0o400 == 0:
		return 0, fmt.Errorf(`%s lets not even the owner read the private key: "0600" is right`, quote(s))
	}
	return fs.FileMode(n), nil
}
