package inspect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/meshpki/meshpki/internal/guard"
)

// DefaultProbeTimeout bounds a probe that is given no time limit.
const DefaultProbeTimeout = 10 * time.Second

// Dial makes a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// ProbeOptions say where to look. The zero value of all but Endpoint is a default.
type ProbeOptions struct {
	Endpoint Endpoint
	// ServerName is the name to ask for (RFC 6066, Section 3); "" is the endpoint's
	// host. An IP address is not sent: the extension has none.
	ServerName string
	// Timeout bounds all of it, from the connection on; 0 is DefaultProbeTimeout.
	Timeout time.Duration
	// Dial makes the connection; nil is a net.Dialer.
	Dial Dial
}

// Served is what an endpoint shows of itself.
type Served struct {
	// Chain is what the server sent, in its order: leaf first, if it does it right.
	Chain []*x509.Certificate
	// Version is the TLS version agreed upon, as tls.VersionTLS13; 0 where the handshake
	// came to no end (see Refused).
	Version uint16
	// CipherSuite is that of the handshake, 0 as with Version.
	CipherSuite uint16
	// ClientCAs are the names of the authorities whose certificates the server says it
	// takes, each a DER name; empty where it does not say.
	ClientCAs [][]byte
	// AsksClient tells whether the server asked for a client's certificate; there was none.
	AsksClient bool
	// Refused is why the server ended the handshake after it had asked for a certificate
	// and was given none; nil where it did not. In TLS 1.3 a server does so only later,
	// after what is looked at here.
	Refused error
}

// Probe makes a TLS handshake with an endpoint, on a connection of its own and only
// to look: it says what the server sent and judges nothing of it. No earlier session
// is resumed. Whether the endpoint is trusted, or up, or the right one is for the
// caller to say.
func Probe(ctx context.Context, o ProbeOptions) (*Served, error) {
	limit := o.Timeout
	if limit == 0 {
		limit = DefaultProbeTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	served, err := o.probe(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("looking at %s: %w", o.Endpoint, err)
	}
	return served, nil
}

func (o ProbeOptions) probe(ctx context.Context) (*Served, error) {
	conn, stop, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	return handshake(ctx, conn, o.name())
}

// connect goes as far as the handshake; stop ends the connection.
func (o ProbeOptions) connect(ctx context.Context) (conn net.Conn, stop func(), err error) {
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err = dial(ctx, "tcp", o.Endpoint.Address())
	if err != nil {
		return nil, nil, cause(err)
	}
	done := make(chan struct{})
	stop = func() {
		close(done)
		conn.Close()
	}
	// The beginnings of protocols know no context: a connection that is closed ends
	// whatever is read from it.
	guard.Go(func(any) {}, func() {
		select {
		case <-ctx.Done():
			conn.Close()
		case <-done:
		}
	})
	if err := begin(conn, o.Endpoint.Scheme); err != nil {
		stop()
		return nil, nil, err
	}
	return conn, stop, nil
}

// name is what the server is asked for.
func (o ProbeOptions) name() string {
	if o.ServerName != "" {
		return o.ServerName
	}
	return o.Endpoint.Host
}

// handshake looks at what a server sends, whatever that is.
func handshake(ctx context.Context, conn net.Conn, name string) (*Served, error) {
	served := &Served{}
	config := lookingConfig(name)
	// A server's demand is answered with none, so that it is seen.
	config.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		served.AsksClient, served.ClientCAs = true, asked.AcceptableCAs
		return &tls.Certificate{}, nil
	}
	// Called before the handshake's end, which a server that demands a certificate
	// does not let come (in TLS 1.2).
	config.VerifyConnection = func(state tls.ConnectionState) error {
		served.Chain = state.PeerCertificates
		return nil
	}
	client := tls.Client(conn, config)
	err := client.HandshakeContext(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil && served.AsksClient && len(served.Chain) > 0:
		served.Refused = cause(err)
		return served, nil
	case err != nil:
		return nil, cause(err)
	case len(served.Chain) == 0:
		return nil, errors.New("the server sent no certificate")
	}
	state := client.ConnectionState()
	served.Version, served.CipherSuite = state.Version, state.CipherSuite
	return served, nil
}

// lookingConfig is that of a client who only looks.
func lookingConfig(name string) *tls.Config {
	return &tls.Config{
		ServerName: name,
		// To say what is, old versions and suites have to be spoken, and nothing verified.
		// Nothing is sent over this connection but a question for anybody.
		InsecureSkipVerify: true, //nolint:gosec // this looks, it does not trust
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       everySuite(),
	}
}

// everySuite are the suites that a server may still insist on.
func everySuite() []uint16 {
	var out []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		out = append(out, s.ID)
	}
	return out
}

// cause is what happened, without the addresses around it: where it happened is
// said once, and in the caller's words.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
