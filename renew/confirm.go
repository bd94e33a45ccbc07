package renew

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/meshpki/meshpki/inspect"
)

// DefaultWithin is how long a new certificate may stay unseen before that is an
// alarm, where a Confirm says nothing.
const DefaultWithin = 10 * time.Minute

// DefaultSettle is long enough for a server that was just told to reload.
const DefaultSettle = 5 * time.Second

// answerTimeout bounds one handshake.
const answerTimeout = 10 * time.Second

// mostAnswers is as many handshakes in a row as anybody may ask for.
const mostAnswers = 1000

// Confirm says how to see that a new certificate is served: renewed is not served.
type Confirm struct {
	Endpoint   string // host:port, or a URL, as inspect.ParseEndpoint reads it
	ServerName string // the name to ask for; "" is the endpoint's host
	Answers    int    // how many handshakes in a row have to show it; 0 is 1
	// Within is after how long without it to raise the alarm, for whoever keeps the
	// time; 0 is DefaultWithin.
	Within time.Duration
	// Settle is how long one Check goes on looking: a server that was told to reload
	// answers with what it had for a moment. 0 has it look once.
	Settle time.Duration
	// Dial makes the connections; nil is a net.Dialer.
	Dial inspect.Dial
}

// Validate refuses what no endpoint could answer.
func (c Confirm) Validate() error {
	if _, err := inspect.ParseEndpoint(c.Endpoint); err != nil {
		return err
	}
	if c.Answers < 0 || c.Answers > mostAnswers {
		return fmt.Errorf("%d answers: at most %d in a row can be asked for", c.Answers, mostAnswers)
	}
	return nil
}

// Check completes handshakes with the endpoint, each on a connection of its own and
// without resuming an earlier one. It is nil when as many in a row as asked showed
// the leaf with that fingerprint (SHA-256, in lower-case hex). A server that demands
// a certificate shows its own first, which is enough. The error says what is served
// instead, or that nothing is. To come back later is the caller's.
func (c Confirm) Check(ctx context.Context, fingerprint string) error {
	endpoint, err := inspect.ParseEndpoint(c.Endpoint)
	if err != nil {
		return err
	}
	settled, pause := after(c.Settle), 50*time.Millisecond
	for {
		err := c.look(ctx, endpoint, fingerprint)
		if err == nil || c.Settle == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-settled:
			return err
		case <-after(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

// look asks for as many answers as it takes.
func (c Confirm) look(ctx context.Context, endpoint inspect.Endpoint, fingerprint string) error {
	answers := max(c.Answers, 1)
	for i := range answers {
		served, err := inspect.Probe(ctx, inspect.ProbeOptions{Endpoint: endpoint, ServerName: c.ServerName, Timeout: answerTimeout, Dial: c.Dial})
		if err == nil {
			err = another(endpoint, served.Chain[0], fingerprint)
		}
		switch {
		case err != nil && i > 0:
			return fmt.Errorf("answer %d of %d: %w", i+1, answers, err)
		case err != nil:
			return err
		}
	}
	return nil
}

// another says what is served where it is not the leaf of that fingerprint.
func another(at inspect.Endpoint, leaf *x509.Certificate, fingerprint string) error {
	sum := sha256.Sum256(leaf.Raw)
	have := hex.EncodeToString(sum[:])
	if have == fingerprint {
		return nil
	}
	until := leaf.NotAfter.UTC().Format("2006-01-02 15:04 UTC")
	return fmt.Errorf("%s serves another certificate: %s for %s, until %s; %s is expected", at, short(have), namesOf(leaf), until, short(fingerprint))
}

// short is the beginning and end of a fingerprint.
func short(fingerprint string) string {
	if len(fingerprint) < 16 {
		return strconv.Quote(fingerprint)
	}
	return fingerprint[:8] + "…" + fingerprint[len(fingerprint)-4:]
}

// namesOf are the first names of a certificate, whoever made it.
func namesOf(leaf *x509.Certificate) string {
	names := inspect.NamesOf(leaf)
	all := append(append(append(names.DNSNames, names.URIs...), names.IPAddresses...), names.EmailAddresses...)
	if len(all) == 0 && leaf.Subject.CommonName != "" {
		all = []string{leaf.Subject.CommonName}
	}
	if len(all) == 0 {
		return "no name"
	}
	const most = 2
	more := ""
	if len(all) > most {
		more = fmt.Sprintf(" (+%d)", len(all)-most)
		all = all[:most]
	}
	for i, name := range all {
		all[i] = strings.Trim(quoted(name), `"`)
	}
	return strings.Join(all, ", ") + more
}
