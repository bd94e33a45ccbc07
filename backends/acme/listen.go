package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/internal/guard"
)

// listenTime is how long is waited for an address that another still has: another
// order, in another process perhaps.
const listenTime = 20 * time.Second

// listener is open for as long as there is something to answer. Orders share it.
type listener struct {
	address string
	serve   func(net.Listener)

	opening chan struct{} // taken while it is opened or closed
	open    net.Listener
	users   int
}

func newListener(address string, serve func(net.Listener)) listener {
	if !strings.Contains(address, ":") {
		address = ":" + address // a port alone
	}
	return listener{address: address, serve: serve, opening: make(chan struct{}, 1)}
}

// use opens it, if it is not open.
func (l *listener) use(ctx context.Context) error {
	select {
	case l.opening <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-l.opening }()
	if l.open == nil {
		open, err := listen(ctx, l.address)
		if err != nil {
			return err
		}
		l.open = open
		guard.Go(func(any) {}, func() { l.serve(open) })
	}
	l.users++
	return nil
}

// leave closes it after its last user.
func (l *listener) leave() error {
	l.opening <- struct{}{}
	defer func() { <-l.opening }()
	if l.users--; l.users > 0 {
		return nil
	}
	err := l.open.Close()
	l.open = nil
	return err
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	within, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	for {
		open, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		switch {
		case err == nil:
			return open, nil
		case errors.Is(err, syscall.EADDRINUSE):
			if guard.Sleep(within, pollEvery) == nil {
				continue
			}
			return nil, fmt.Errorf("listen at %s, where the server looks: something else listens there", address)
		case errors.Is(err, syscall.EACCES):
			return nil, fmt.Errorf("listen at %s, where the server looks: it needs the right to use low ports (CAP_NET_BIND_SERVICE), or a webroot", address)
		}
		return nil, fmt.Errorf("listen at %s, where the server looks: %w", address, err)
	}
}

// answers is what is to be answered, by what is asked for. Safe for concurrent use.
type answers[T any] struct {
	mu  sync.Mutex
	all map[string]T
}

func (a *answers[T]) put(key string, v T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]T{}
	}
	a.all[key] = v
}

func (a *answers[T]) drop(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, key)
}

func (a *answers[T]) find(key string) (T, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.all[key]
	return v, ok
}

// httpListener answers http-01 itself.
type httpListener struct {
	listener

	tokens answers[string]
}

func newHTTPListener(address string) *httpListener {
	h := &httpListener{}
	h.listener = newListener(address, h.serveAll)
	return h
}

func (*httpListener) kind() string           { return acme.ChallengeTypeHTTP01 }
func (*httpListener) settles() time.Duration { return 0 }

func (h *httpListener) present(ctx context.Context, c acme.Challenge) (func(context.Context) error, error) {
	if !isToken(c.Token) {
		return nil, errToken
	}
	if err := h.use(ctx); err != nil {
		return nil, err
	}
	h.tokens.put(c.Token, c.KeyAuthorization)
	return func(context.Context) error {
		h.tokens.drop(c.Token)
		return h.leave()
	}, nil
}

func (h *httpListener) serveAll(l net.Listener) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: answerTime, ReadTimeout: answerTime, WriteTimeout: answerTime,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	// A connection that outlived the listener would be answered from here still, where
	// the next order's answer is with somebody else: another entry, or another run.
	server.SetKeepAlivesEnabled(false)
	// It ends when the listener is closed.
	_ = server.Serve(l)
}

// ServeHTTP gives the answer to a token, and nothing else.
func (h *httpListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.URL.Path, "/.well-known/acme-challenge/")
	answer, known := h.tokens.find(token)
	if !ok || !known || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.WriteString(w, answer) //nolint:gosec // it is the server's token with our account's digest, as bytes for programs
}

// tlsListener answers tls-alpn-01 itself.
type tlsListener struct {
	listener

	certificates answers[*tls.Certificate]
}

func newTLSListener(address string) *tlsListener {
	t := &tlsListener{}
	t.listener = newListener(address, t.serveAll)
	return t
}

func (*tlsListener) kind() string           { return acme.ChallengeTypeTLSALPN01 }
func (*tlsListener) settles() time.Duration { return 0 }

func (t *tlsListener) present(ctx context.Context, c acme.Challenge) (func(context.Context) error, error) {
	certificate, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return nil, err
	}
	if err := t.use(ctx); err != nil {
		return nil, err
	}
	name := serverName(c.Identifier)
	t.certificates.put(name, certificate)
	return func(context.Context) error {
		t.certificates.drop(name)
		return t.leave()
	}, nil
}

// serverName is what the server asks for in its handshake: for an address its name
// in the reverse zone (RFC 8738, Section 6).
func serverName(id acme.Identifier) string {
	ip := net.ParseIP(id.Value)
	if id.Type != "ip" || ip == nil {
		return strings.ToLower(id.Value)
	}
	var b strings.Builder
	if four := ip.To4(); four != nil {
		for i := len(four) - 1; i >= 0; i-- {
			fmt.Fprintf(&b, "%d.", four[i])
		}
		return b.String() + "in-addr.arpa"
	}
	for i := len(ip) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "%x.%x.", ip[i]&0xf, ip[i]>>4)
	}
	return b.String() + "ip6.arpa"
}

func (t *tlsListener) serveAll(l net.Listener) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{acmez.ACMETLS1Protocol},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c, ok := t.certificates.find(strings.ToLower(hello.ServerName)); ok {
				return c, nil
			}
			return nil, errors.New("nothing is to be answered for that name")
		}}
	for {
		conn, err := l.Accept()
		if err != nil {
			return // it was closed
		}
		guard.Go(func(any) { conn.Close() }, func() {
			defer conn.Close()
			within, cancel := context.WithTimeout(context.Background(), answerTime)
			defer cancel()
			// The handshake is all there is: the server reads the certificate from it.
			_ = tls.Server(conn, config).HandshakeContext(within)
		})
	}
}
