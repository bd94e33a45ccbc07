package acme

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// How often renewal information is asked for (RFC 9773, Section 4.3).
const (
	askedSoonest = time.Minute
	askedLatest  = 24 * time.Hour
	askedUsually = 6 * time.Hour // where the server says nothing
	askedAgain   = time.Hour     // where it did not answer
	infoTime     = 10 * time.Second
)

// Outlook tells what can be expected of the authority of a directory's URL, without
// its account: its roots, as far as they are known, and when it has leaves renewed.
func Outlook(ctx context.Context, directory string, o backends.Options) (ca.Outlook, error) {
	a, err := open(directory, o)
	if err != nil {
		return ca.Outlook{}, err
	}
	roots, err := a.Roots(ctx)
	if errors.Is(err, errNoRoots) {
		roots, err = nil, nil // nothing has been issued yet
	}
	return ca.Outlook{Roots: roots, Renewal: a.renewal}, err
}

// info is what is remembered of a certificate's renewal information.
type info struct {
	Start       time.Time `json:"start,omitzero"`
	End         time.Time `json:"end,omitzero"`
	Explanation string    `json:"explanation,omitempty"`
	// Again is when it is asked for again: never before.
	Again time.Time `json:"again"`
}

func (i info) window() ca.RenewalWindow {
	return ca.RenewalWindow{Start: i.Start, End: i.End, Explanation: i.Explanation}
}

// renewal is when the server suggests that a leaf be renewed. What it said is
// remembered for as long as it wants (Retry-After); a server that does not answer has
// said what it said before.
func (a *Authority) renewal(ctx context.Context, leaf *x509.Certificate) ca.RenewalWindow {
	now := a.options.Now()
	id, err := acme.ARIUniqueIdentifier(leaf)
	if err != nil || len(leaf.AuthorityKeyId) == 0 || !leaf.NotAfter.After(now) {
		return ca.RenewalWindow{}
	}
	name := a.infoPath(id)
	known := readInfo(name)
	if known.Again.After(now) && !known.Again.After(now.Add(askedLatest)) || a.isSilent() {
		return known.window()
	}
	within, cancel := context.WithTimeout(ctx, infoTime)
	defer cancel()
	told, err := a.ask(within, id, now)
	switch {
	case err == nil:
		known = told
	case ctx.Err() != nil:
		return known.window()
	default:
		a.setSilent() // the next target need not wait for it too
		known.Again = now.Add(askedAgain)
	}
	// What cannot be remembered is asked for again.
	_ = a.remember(name, known)
	return known.window()
}

func (a *Authority) isSilent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silent
}

func (a *Authority) setSilent() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = true
}

// infoPath is where the renewal information of a certificate is remembered.
func (a *Authority) infoPath(id string) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(a.options.Dir, "cache", "acme", a.id()+"."+hex.EncodeToString(sum[:12])+".json")
}

// readInfo reads what is remembered; what cannot be read is not remembered.
func readInfo(name string) (i info) {
	data, err := os.ReadFile(name)
	if err != nil || json.Unmarshal(data, &i) != nil {
		return info{}
	}
	return i
}

func (a *Authority) remember(name string, i info) error {
	data, err := json.Marshal(i)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(name, append(data, '\n'), 0o644)
}

// forget drops what is remembered of a certificate that has been replaced.
func (a *Authority) forget(leaf *x509.Certificate) {
	if id, err := acme.ARIUniqueIdentifier(leaf); err == nil {
		// Nothing may be remembered of it, and nothing is lost by what stays.
		_ = os.Remove(a.infoPath(id))
	}
}

// ask fetches renewal information (RFC 9773, Section 4.1). A server without any, or
// that does not know the certificate, suggests nothing.
func (a *Authority) ask(ctx context.Context, id string, now time.Time) (info, error) {
	nothing := info{Again: now.Add(askedLatest)}
	release, err := a.take(ctx)
	if err != nil {
		return nothing, err
	}
	directory, err := a.connect(ctx)
	client := a.client
	release()
	if err != nil {
		return nothing, err
	}
	if directory.RenewalInfo == "" {
		return nothing, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(directory.RenewalInfo, "/")+"/"+id, nil)
	if err != nil {
		return nothing, err
	}
	request.Header.Set("User-Agent", client.UserAgent)
	resp, err := client.HTTPClient.Do(request)
	if err != nil {
		return nothing, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nothing, err
	}
	again := retryAfter(resp.Header.Get("Retry-After"), now)
	switch {
	case resp.StatusCode == http.StatusOK:
		return parseInfo(body, again)
	case resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests:
		return nothing, fmt.Errorf("it answered %s", short(resp.Status))
	}
	return nothing, nil
}

// parseInfo reads renewal information (RFC 9773, Section 4.2). A window that ends
// before it begins is an error.
func parseInfo(body []byte, again time.Time) (info, error) {
	var said struct {
		Window struct {
			Start time.Time `json:"start"`
			End   time.Time `json:"end"`
		} `json:"suggestedWindow"`
		Explanation string `json:"explanationURL"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return info{}, errors.New("its renewal information cannot be read (RFC 9773, Section 4.2)")
	}
	i := info{Start: said.Window.Start.UTC(), End: said.Window.End.UTC(), Again: again}
	if i.window().IsZero() {
		return info{}, errors.New("the window that it suggests ends before it begins (RFC 9773, Section 4.2)")
	}
	if u, err := url.Parse(said.Explanation); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && len(said.Explanation) < 500 {
		i.Explanation = said.Explanation
	}
	return i, nil
}

// retryAfter is when a server wants to be asked again, within bounds
// (RFC 9773, Section 4.3; RFC 9110, Section 10.2.3).
func retryAfter(header string, now time.Time) time.Time {
	again := now.Add(askedUsually)
	if seconds, err := strconv.ParseInt(header, 10, 32); err == nil {
		again = now.Add(time.Duration(seconds) * time.Second)
	} else if at, err := http.ParseTime(header); err == nil {
		again = at
	}
	if soonest := now.Add(askedSoonest); again.Before(soonest) {
		return soonest
	}
	if latest := now.Add(askedLatest); again.After(latest) {
		return latest
	}
	return again
}
