package config

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "0d": 0, "30s": 30 * time.Second, "90m": 90 * time.Minute, "720h": 30 * day,
		"90d": 90 * day, "2w": 14 * day, "1y": 365 * day, "1d12h": 36 * time.Hour, "1y2w3d4h5m6s7ms8us9ns": 382*day + 4*time.Hour + 5*time.Minute + 6*time.Second + 7*time.Millisecond + 8009,
		"1.5d": 36 * time.Hour, ".5w": 84 * time.Hour, "1.h": time.Hour, "12h1d": 36 * time.Hour, "0.1y": 876 * time.Hour, "1µs": 1000, "1μs": 1000,
		"292y": 292 * 365 * day, "106751d": 106751 * day, "9223372036854775807ns": math.MaxInt64,
	} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	const form = " is no duration: numbers and units (s, m, h, d, w, y) such as 90d, 1y or 1d12h are expected"
	for s, want := range map[string]string{
		"": `""` + form, "d": `"d"` + form, ".": `"." has no unit: s, m (minutes), h, d, w or y, as in 90d`, ".d": `".d"` + form,
		"30": `"30" has no unit: s, m (minutes), h, d, w or y, as in 90d`, "1.2.3d": `"1.2.3d"` + form, "1d12": `"1d12"` + form,
		"30 d": `"30 d"` + form, "1mo": `"1mo"` + form, "1D": `"1D"` + form, "+1d": `"+1d"` + form, "1d-1h": `"1d-1h"` + form, "1e3s": `"1e3s"` + form, "∞": `"∞"` + form,
		"-1d":  `"-1d" is negative: a duration such as 90d or 1y is expected`,
		"-":    `"-" is negative: a duration such as 90d or 1y is expected`,
		"293y": `"293y" is longer than 292 years`, "106752d": `"106752d" is longer than 292 years`, "292y1y": `"292y1y" is longer than 292 years`,
		"9223372036854775808ns":              `"9223372036854775808ns" is longer than 292 years`,
		strings.Repeat("9", 90) + "d":        `"` + strings.Repeat("9", 60) + `"… is longer than 292 years`,
		strings.Repeat("1d", 51):             `"` + strings.Repeat("1d", 30) + `"…` + form,
		"1d\x1b[31m":                         `"1d\x1b[31m"` + form,
		strings.Repeat("1", 59) + "é" + "ée": `"` + strings.Repeat("1", 59) + `"…` + form,
	} {
		if got, err := ParseDuration(s); err == nil || err.Error() != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want the error %s", s, got, err, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"2027-01-31T12:00:00Z":      time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC),
		"2027-01-31T12:00:00+02:00": time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC),
		"90d":                       now.Add(90 * day),
		"0":                         now,
	} {
		if got, err := ParseTime(s, now); err != nil || !got.Equal(want) {
			t.Errorf("ParseTime(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "tomorrow", "2027-01-31", "2027-02-30T12:00:00Z", "-1d", "300y"} {
		want := quote(s) + " is no point in time: 2027-01-31T12:00:00Z (RFC 3339), or a duration from now such as 90d, is expected"
		if got, err := ParseTime(s, now); err == nil || err.Error() != want {
			t.Errorf("ParseTime(%q) = %v, %v; want the error %s", s, got, err, want)
		}
	}
}

func TestParsePercent(t *testing.T) {
	for s, want := range map[string]int{"1%": 1, "66%": 66, "99%": 99} {
		if got, err := ParsePercent(s); err != nil || got != want {
			t.Errorf("ParsePercent(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "%", "0%", "100%", "66", "66.6%", "-1%", "+1%", "66%%", " 66%", "0x1%", "٣%"} {
		want := quote(s) + " is no part of a lifetime: 1% to 99% is expected, such as 66%"
		if got, err := ParsePercent(s); err == nil || err.Error() != want {
			t.Errorf("ParsePercent(%q) = %d, %v; want the error %s", s, got, err, want)
		}
	}
}

func TestParseMode(t *testing.T) {
	for s, want := range map[string]uint32{"0600": 0o600, "0640": 0o640, "640": 0o640, "0400": 0o400, "0660": 0o660} {
		if got, err := ParseMode(s); err != nil || uint32(got) != want {
			t.Errorf("ParseMode(%q) = %o, %v; want %o", s, got, err, want)
		}
	}
	const form = ` is no file mode: three octal digits behind a 0 are expected, such as "0640"`
	const open = ` opens the private key to everybody on the machine: "0600", or "0640" for a group, is right`
	for s, want := range map[string]string{
		"": form, "6": form, "64": form, "0680": form, "00640": form, "4600": form, "1777": form, "rw-r-----": form, "-600": form, "+640": form, "0o640": form,
		"0644": open, "0604": open, "0777": open, "0601": open, "0602": open,
		"0240": ` lets not even the owner read the private key: "0600" is right`,
		"0000": ` lets not even the owner read the private key: "0600" is right`,
	} {
		if got, err := ParseMode(s); err == nil || err.Error() != quote(s)+want {
			t.Errorf("ParseMode(%q) = %o, %v; want the error %s", s, got, err, quote(s)+want)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"90d", "1y", "2w", "1d12h", "1.5h", "-1d", "30", "292y", "293y", ".5w", "1y1y", "9223372036854775807ns", "1µs", "0", "\x00d", "1.d", "1..d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseDuration(s)
		if got < 0 || err != nil && got != 0 {
			t.Errorf("ParseDuration(%q) = %v, %v", s, got, err)
		}
		if err == nil && s != "0" {
			// Twice as much is twice as long, or too long.
			if twice, err := ParseDuration(s + s); err == nil && twice != 2*got {
				t.Errorf("ParseDuration(%q) = %v, twice that text is %v", s, got, twice)
			}
		}
		// What Go reads is read alike: 100 bytes and signs apart.
		if theirs, e := time.ParseDuration(s); e == nil && len(s) <= 100 && !strings.ContainsAny(s, "+-") && (err != nil || theirs != got) {
			t.Errorf("ParseDuration(%q) = %v, %v; Go reads %v", s, got, err, theirs)
		}
	})
}
