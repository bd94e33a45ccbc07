package renew

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/meshpki/meshpki/internal/guard"
)

// HAProxy is a step that hands the new chain and key to a running HAProxy, through
// its runtime API at level admin. HAProxy keeps them in memory; the file of that
// name is not touched, and is what it reads when it starts again.
type HAProxy struct {
	Socket string // a path, or an address of this machine: 127.0.0.1:9999
	Cert   string // the certificate's name in its configuration
}

// network is what dials the socket.
func (h *HAProxy) network() string {
	if filepath.IsAbs(h.Socket) {
		return "unix"
	}
	return "tcp"
}

func (h *HAProxy) validate() error {
	if h.network() == "tcp" {
		address, err := netip.ParseAddrPort(h.Socket)
		switch {
		case err != nil || address.Port() == 0:
			return fmt.Errorf("%q is neither an absolute path nor an address such as 127.0.0.1:9999", h.Socket)
		case !address.Addr().IsLoopback():
			return fmt.Errorf("%s is not an address of this machine: a private key does not go over the network in the clear", h.Socket)
		}
	}
	// The runtime API takes words apart at spaces and commands at ';', and has '\' to escape.
	odd := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`;\<"'`, r)
	}
	if h.Cert == "" || strings.ContainsFunc(h.Cert, odd) {
		return fmt.Errorf("the certificate's name %q cannot be said in HAProxy's runtime API", h.Cert)
	}
	return nil
}

// replace sets the certificate in one transaction and commits it; what fails takes
// the transaction back. It gives HAProxy's answers.
func (h *HAProxy) replace(ctx context.Context, pem func() ([]byte, error)) ([]byte, error) {
	if pem == nil {
		return nil, errors.New("handing the certificate to HAProxy: its key is not here")
	}
	if h.network() == "unix" {
		if err := safeSocket(h.Socket); err != nil {
			return nil, err
		}
	}
	bundle, err := pem()
	if err != nil {
		return nil, fmt.Errorf("handing the certificate to HAProxy: %w", err)
	}
	said, err := h.ask(ctx, "set", payload(bundle), "Transaction created", "Transaction updated")
	if err != nil {
		// Nothing may have begun, then there is nothing to take back.
		return h.takeBack(ctx, said), err
	}
	committed, err := h.ask(ctx, "commit", nil, "Success!")
	said = append(said, committed...)
	if err != nil {
		return h.takeBack(ctx, said), err
	}
	return said, nil
}

// takeBack ends a transaction, even when the time for the step is up.
func (h *HAProxy) takeBack(ctx context.Context, said []byte) []byte {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	answer, _ := h.ask(ctx, "abort", nil, "")
	return append(said, answer...)
}

// payload is a bundle as the runtime API takes it: an empty line ends it, so it has
// none in it.
func payload(bundle []byte) []byte {
	out := []byte(" <<\n")
	for line := range bytes.Lines(bundle) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out = append(append(out, line...), '\n')
		}
	}
	return out
}

// ask sends one command on a connection of its own, and holds the answer against
// what a good one has in it.
func (h *HAProxy) ask(ctx context.Context, verb string, rest []byte, good ...string) ([]byte, error) {
	answer, err := h.talk(ctx, append([]byte(verb+" ssl cert "+h.Cert), rest...))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return answer, fmt.Errorf("%s ssl cert at HAProxy's %s: %w", verb, h.Socket, err)
	}
	text := string(answer)
	for _, g := range good {
		if strings.Contains(text, g) {
			return answer, nil
		}
	}
	var why error
	switch {
	case strings.Contains(text, "not referenced by the configuration"), strings.Contains(text, "not exist"):
		why = fmt.Errorf("its running configuration has no certificate %s: the name has to be the one that it loaded", quoted(h.Cert))
	case strings.Contains(text, "Permission denied"):
		why = errors.New("the socket is not of level admin")
	case len(bytes.TrimSpace(answer)) == 0:
		why = errors.New("no answer")
	default:
		why = errors.New("it refused")
	}
	return answer, saying(fmt.Errorf("%s ssl cert at HAProxy's %s: %w", verb, h.Socket, why), answer)
}

func (h *HAProxy) talk(ctx context.Context, command []byte) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, h.network(), h.Socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := make(chan struct{})
	defer close(stop)
	// A deadline in the past ends what is being read or written.
	guard.Go(func(any) {}, func() {
		select {
		case <-ctx.Done():
			_ = conn.SetDeadline(time.Unix(1, 0))
		case <-stop:
		}
	})
	// A payload is ended by its empty line, a plain command by its line's end.
	if _, err := conn.Write(append(command, '\n')); err != nil {
		return nil, err
	}
	return readSome(conn)
}
