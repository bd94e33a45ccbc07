package acme

import (
	"strings"
	"testing"

	"github.com/mholt/acmez/v3/acme"
)

func challengeWith(token string) acme.Challenge { return acme.Challenge{Type: "http-01", Token: token} }

// Whatever a server says, a suggestion is a window, and is asked for again within a day.
func FuzzRenewalInfo(f *testing.F) {
	f.Add([]byte(`{"suggestedWindow":{"start":"2026-11-21T12:00:00Z","end":"2026-11-22T12:00:00Z"},"explanationURL":"https://a.example/b"}`), "3600")
	f.Add([]byte(`{"suggestedWindow":{"start":"2026-11-21T12:00:00Z","end":"2026-11-20T12:00:00Z"}}`), "-1")
	f.Add([]byte(`[]`), "Sat, 21 Nov 2026 13:00:00 GMT")
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		again := retryAfter(header, start, askedUsually)
		if again.Before(start.Add(askedSoonest)) || again.After(start.Add(askedLatest)) {
			t.Errorf("%q: again at %s", header, again)
		}
		i, err := parseInfo(body, again)
		if err == nil && i.window().IsZero() {
			t.Errorf("%q suggests nothing, without an error", body)
		}
		if strings.ContainsAny(i.Explanation, "\n\x1b") {
			t.Errorf("%q explains by %q", body, i.Explanation)
		}
	})
}

// Whatever a server says of itself fits on a line.
func FuzzShort(f *testing.F) {
	f.Add("a policy \"forbids\" it\n\x1b[31m")
	f.Add(strings.Repeat("ä", 400))
	f.Fuzz(func(t *testing.T, s string) {
		if got := short(s); strings.ContainsAny(got, "\n\r\x1b\x00") || len(got) > 2000 {
			t.Errorf("%q", got)
		}
	})
}
