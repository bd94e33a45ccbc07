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
	"sync"
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
	askedAgain   = time.Hour     // where it did not answer, and did not say when it will

	infoTime      = 3 * time.Second  // until it has answered once
	askedTogether = 10 * time.Second // that one run spends with asking
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
	if later(known.Again, now) {
		return known.window()
	}
	release, ask := a.mayAsk(ctx, now)
	if !ask {
		return known.window()
	}
	told, err := a.askInTime(ctx, id, now)
	release(err == nil, a.options.Now().Sub(now))
	switch {
	case err == nil:
		// What cannot be remembered is asked for again.
		_ = a.remember(name, told)
		return told.window()
	case ctx.Err() == nil:
		a.leaveAlone(told.Again)
	}
	return known.window()
}

// later tells whether it is not yet time to ask again: never later than may be.
func later(again, now time.Time) bool {
	return again.After(now) && !again.After(now.Add(askedLatest))
}

// silence is what is known of a server that does not answer: one that is broken holds
// up a run once, and then none until it may be over.
type silence struct {
	first chan struct{} // taken by who asks first: the others wait for what becomes of it

	mu    sync.Mutex
	read  bool          // what was remembered is known
	until time.Time     // when it may be over
	heard bool          // it has answered in this run
	spent time.Duration // with asking, in this run
}

// mayAsk tells whether the server may be asked now, and gives what is to be called
// after that: with whether it has answered, and how long that took.
func (a *Authority) mayAsk(ctx context.Context, now time.Time) (release func(answered bool, took time.Duration), ok bool) {
	s := &a.silent
	may := func() (may, heard bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.read {
			s.read, s.until = true, readInfo(a.silencePath()).Again
		}
		return !later(s.until, now) && s.spent < askedTogether, s.heard
	}
	ended := func(answered bool, took time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heard = s.heard || answered
		s.spent += max(took, 0)
	}
	ok, heard := may()
	if !ok || heard {
		return ended, ok
	}
	select {
	case s.first <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	if ok, heard = may(); !ok || heard {
		<-s.first
		return ended, ok
	}
	return func(answered bool, took time.Duration) {
		ended(answered, took)
		<-s.first
	}, true
}

// leaveAlone remembers, over all runs, that the server is not to be asked before.
func (a *Authority) leaveAlone(until time.Time) {
	a.silent.mu.Lock()
	defer a.silent.mu.Unlock()
	a.silent.until = until
	// What cannot be remembered holds up the next run too.
	_ = a.remember(a.silencePath(), info{Again: until})
}

func (a *Authority) silencePath() string {
	return filepath.Join(a.options.Dir, "cache", "acme", a.id()+".silent.json")
}

// askInTime is ask for who has other things to do.
func (a *Authority) askInTime(ctx context.Context, id string, now time.Time) (info, error) {
	within, cancel := context.WithTimeout(ctx, a.infoTime)
	defer cancel()
	return a.ask(within, id, now)
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
// that does not know the certificate, suggests nothing. With an error comes when the
// server may be asked again.
func (a *Authority) ask(ctx context.Context, id string, now time.Time) (info, error) {
	nothing, broken := info{Again: now.Add(askedLatest)}, info{Again: now.Add(askedAgain)}
	release, err := a.take(ctx)
	if err != nil {
		return broken, err
	}
	directory, err := a.connect(ctx)
	client := a.client
	release()
	if err != nil {
		return broken, err
	}
	if directory.RenewalInfo == "" {
		return nothing, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(directory.RenewalInfo, "/")+"/"+id, nil)
	if err != nil {
		return broken, err
	}
	request.Header.Set("User-Agent", client.UserAgent)
	resp, err := client.HTTPClient.Do(request)
	if err != nil {
		return broken, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return broken, err
	}
	after := resp.Header.Get("Retry-After")
	switch {
	case resp.StatusCode == http.StatusOK:
		told, err := parseInfo(body, retryAfter(after, now, askedUsually))
		if err != nil {
			return broken, err
		}
		return told, nil
	case resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests:
		return info{Again: retryAfter(after, now, askedAgain)}, fmt.Errorf("it answered %s", short(resp.Status))
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

// retryAfter is when a server wants to be asked again, within bounds, and usually where
// it does not say (RFC 9773, Section 4.3; RFC 9110, Section 10.2.3).
func retryAfter(header string, now time.Time, usually time.Duration) time.Time {
	again := now.Add(usually)
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
