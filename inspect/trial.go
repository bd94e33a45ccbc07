package inspect

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// What a server does with a client is found out by being one: with no certificate, with
// wrong ones, with the right one. In TLS 1.3 a client is done before the server has
// looked at its certificate, and some servers refuse only in the protocol above: so each
// trial goes on to the first read and, where the server may speak HTTP, to an answer.

// Client is who tries a server.
type Client struct {
	// Certificate is shown when the server asks for one; nil shows none.
	Certificate *tls.Certificate
	// HTTP asks for / after the handshake.
	HTTP bool
	// Quiet is how long silence behind the handshake is waited out where nothing is
	// asked; 0 is two seconds.
	Quiet time.Duration
}

// The stages of a trial, in their order.
const (
	StageHandshake = "handshake"
	StageRead      = "first read"
	StageHTTP      = "HTTP"
)

// Trial is what a server did with one client.
type Trial struct {
	Protocol string // "TLS 1.3"; "" where the handshake came to no end
	Asked    bool   // the server asked for a certificate
	Sent     bool   // the client's certificate went out
	Stage    string // how far it came
	// Alert is the TLS alert that ended it: "" where there was none.
	Alert string
	// Closed tells that the connection was ended without an alert.
	Closed bool
	Status int  // of the HTTP answer; 0 without one
	Data   bool // the server said something that is no HTTP
}

// Refused tells whether the server refused in words of TLS.
func (t Trial) Refused() bool { return t.Alert != "" }

// class is what the answer is compared by: two clients whose answers are of the same
// class were treated alike.
func (t Trial) class() string {
	switch {
	case t.Alert != "":
		return "refused"
	case t.Status == 400, t.Status == 401, t.Status == 403, t.Status == 495, t.Status == 496:
		return "refused by HTTP"
	case t.Status != 0:
		return "HTTP " + strconv.Itoa(t.Status/100)
	case t.Data:
		return "data"
	case t.Closed:
		return "closed"
	}
	return "silent"
}

// Said is what the server did, in a few words.
func (t Trial) Said() string {
	switch {
	case t.Alert != "":
		return t.Alert
	case t.Status != 0:
		return "HTTP " + strconv.Itoa(t.Status)
	case t.Data:
		return "it answered"
	case t.Closed:
		return "it closed the connection"
	}
	return "it kept the connection open"
}

// Outcome is what came of a trial.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted"
	Refused  Outcome = "refused"
	Untold   Outcome = "unknown" // it cannot be told without the right certificate
	NotTried Outcome = "not tried"
)

// Judge tells the outcome of a trial beside that of the right certificate; nil where
// that was not tried. Without a reference only what is said in TLS counts, and that a
// server did not ask at all.
func (t Trial) Judge(right *Trial) Outcome {
	switch {
	case t.Refused():
		return Refused
	case !t.Asked && t.Stage != StageHandshake:
		return Accepted
	case right == nil, right.class() == "refused", right.class() == "refused by HTTP", right.class() == "closed":
		return Untold
	case t.class() == right.class():
		return Accepted
	}
	return Refused
}

// JudgeRight tells whether the right certificate was taken.
func (t Trial) JudgeRight() Outcome {
	switch t.class() {
	case "refused", "refused by HTTP":
		return Refused
	case "closed":
		return Untold
	}
	return Accepted
}

// Try is a client of the server once, on a connection of its own. An error is that the
// server could not be reached, or is none of TLS; a refusal is none.
func Try(ctx context.Context, o ProbeOptions, client Client) (*Trial, error) {
	limit := o.Timeout
	if limit == 0 {
		limit = DefaultProbeTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	trial, err := o.try(ctx, client)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("trying %s: %w", o.Endpoint, err)
	}
	return trial, nil
}

func (o ProbeOptions) try(ctx context.Context, client Client) (*Trial, error) {
	conn, stop, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	t := &Trial{Stage: StageHandshake}
	counted := &watched{Conn: conn}
	config := lookingConfig(o.name())
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		t.Asked = true
		if client.Certificate == nil {
			return &tls.Certificate{}, nil
		}
		counted.armed.Store(true)
		return client.Certificate, nil
	}
	var chain []*x509.Certificate
	config.VerifyConnection = func(state tls.ConnectionState) error {
		chain = state.PeerCertificates
		return nil
	}
	session := tls.Client(counted, config)
	err = session.HandshakeContext(ctx)
	t.Sent = counted.wrote.Load()
	if err != nil {
		if ctx.Err() != nil || !t.Asked || len(chain) == 0 {
			return nil, cause(err)
		}
		t.ended(err)
		return t, nil
	}
	t.Protocol = tls.VersionName(session.ConnectionState().Version)
	t.Stage = StageRead
	return t, t.listen(ctx, session, client, o)
}

// early is how long a refusal is waited for before something is asked: what is written
// to a server that has closed can lose the alert that it sent.
const early = 200 * time.Millisecond

// listen goes on behind the handshake.
func (t *Trial) listen(ctx context.Context, session *tls.Conn, client Client, o ProbeOptions) error {
	const most = 512
	r := bufio.NewReaderSize(io.LimitReader(session, most), most)
	wait := early
	if !client.HTTP {
		if wait = client.Quiet; wait == 0 {
			wait = 2 * time.Second
		}
	}
	if client.HTTP && (!t.Asked || session.ConnectionState().Version < tls.VersionTLS13) { // there it is over by now
		wait = 0
	}
	if err := peek(ctx, session, r, wait); err != nil {
		t.ended(err)
		return nil
	}
	if client.HTTP && r.Buffered() == 0 {
		request := "GET / HTTP/1.1\r\nHost: " + o.name() + "\r\nUser-Agent: meshpki-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
		_, _ = io.WriteString(session, request) // what came of it, the read tells
		if err := ctx.Err(); err != nil {
			return err
		}
	} else if r.Buffered() == 0 {
		return nil // silence
	}
	line, err := r.ReadSlice('\n')
	if len(line) == 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.ended(err)
		return nil
	}
	t.Data, t.Stage = true, StageRead
	if t.Status = httpStatus(string(line)); t.Status != 0 {
		t.Stage = StageHTTP
	}
	return nil
}

// peek waits for the first byte, no longer than that; silence is no error.
func peek(ctx context.Context, session *tls.Conn, r *bufio.Reader, wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if deadline, ok := waiting.Deadline(); ok {
		if err := session.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
	_, err := r.Peek(1)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		err = nil
	}
	if deadline, ok := ctx.Deadline(); ok && err == nil {
		err = session.SetReadDeadline(deadline)
	}
	return err
}

// httpStatus reads a status line (RFC 9112, Section 4), 0 where it is none.
func httpStatus(line string) int {
	version, rest, _ := strings.Cut(line, " ")
	if !strings.HasPrefix(version, "HTTP/") || len(rest) < 3 {
		return 0
	}
	status, err := strconv.Atoi(rest[:3])
	if err != nil || status < 100 || status > 599 {
		return 0
	}
	return status
}

// ended takes down how the server ended the connection.
func (t *Trial) ended(err error) {
	if alert, ok := alertOf(err); ok {
		t.Alert = alert
		return
	}
	t.Closed = true
}

// alertOf is the TLS alert that the server sent.
func alertOf(err error) (string, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return "", false
	}
	return strings.TrimPrefix(op.Err.Error(), "tls: "), true
}

// watched notices that something was written once it was armed.
type watched struct {
	net.Conn
	armed, wrote atomic.Bool
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if err == nil && w.armed.Load() {
		w.wrote.Store(true)
	}
	return n, err
}
