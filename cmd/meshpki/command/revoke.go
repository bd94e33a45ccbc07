package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

func revokeCommand() *command {
	return &command{
		name:    "revoke",
		summary: "revoke a certificate",
		args:    "SERIAL|FILE…",
		about: "Records the end of a certificate that this directory's authorities signed, or has it revoked by the one elsewhere " +
			"that did, as the ledger knows it or --backend names it. It is named by its serial number, by a " +
			"file whose first certificate it is, or by the Secret that holds it, k8s://NAMESPACE/NAME. From then on renewal takes it for due, meshpki crl lists it, a revoked " +
			"intermediate signs no certificate more, and a key that was compromised is not certified again. A revocation is " +
			"never taken back. Revoking twice changes nothing, but for a reason that has become a compromise.",
		examples: []example{{"the certificate of a service", "meshpki revoke pki/services/prod/payment/tls.crt --reason keyCompromise"}},
		exits:    exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: common(inCluster(
			text("reason", "why: `"+strings.Join(ca.ReasonNames(), "|")+"` (default unspecified)"),
			text("backend", "the authority elsewhere that signed it, a `REF`, where the ledger does not know it"),
		)...),
		run: runRevoke,
	}
}

func runRevoke(ctx context.Context, c *call) error {
	args, err := c.arguments(1, -1, "a serial number or a FILE")
	if err != nil {
		return err
	}
	reason, err := ca.ParseReason(c.String("reason"))
	if err != nil {
		err := usagef("--reason: %v", err)
		if near := config.Nearest(c.String("reason"), ca.ReasonNames()); near != "" {
			return err.withHint("did you mean %s?", near)
		}
		return err
	}
	d, err := c.openToRevoke()
	if err != nil {
		return err
	}
	doc := ui.RevokedMany{Dir: c.dir()}
	var failed []error
	unknown := false
	ended := map[string]bool{} // whose certificates are, as namespace.service
	for _, arg := range args {
		done, err := c.revoke(ctx, d, arg, reason)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		unknown = unknown || done.State == "unknown"
		if done.State != "unknown" {
			ended[done.Namespace+"."+done.Service] = true
		}
		doc.List = append(doc.List, done)
	}
	purged, err := c.purge(ctx, d, ended)
	if err != nil {
		failed = append(failed, fmt.Errorf("it is revoked, and its keys are not all taken away: %w", err))
	}
	if len(doc.List) > 0 {
		if err := c.say(doc); err != nil {
			return err
		}
	}
	if purged > 0 {
		c.notice("the keys of %s that %s kept are taken away", ui.Count(purged, "previous set"), map[bool]string{true: "was", false: "were"}[purged == 1])
	}
	switch {
	case len(failed) > 0:
		return c.allOf(failed)
	case unknown:
		return errNo
	}
	return nil
}

// revoke revokes what one argument names.
func (c *call) revoke(ctx context.Context, d *file.Directory, arg string, reason ca.Reason) (ui.Revoked, error) {
	name := c.serial
	rest, stored := strings.CutPrefix(arg, "k8s://")
	if stored {
		name = c.serialIn
	}
	serial, cert, err := name(rest)
	if err != nil {
		return ui.Revoked{}, err
	}
	done, backend, err := c.revokeElsewhere(ctx, d, serial, cert, reason)
	switch {
	case backend != "":
	case cert != nil:
		done, err = d.RevokeCertificate(ctx, cert, reason)
	default:
		done, err = d.Revoke(ctx, serial, reason)
	}
	doc := ui.Revoked{Serial: ca.FormatSerial(serial), Service: done.Service, Namespace: done.Namespace,
		Reason: orElse(done.Reason, reason.String()), Before: done.Before, Issuer: done.Issuer, State: "revoked", Backend: backend}
	if doc.Authority = done.Authority; done.Authority == d.Settings().Issuing {
		doc.Authority = "" // which crl takes by itself
	}
	switch {
	case errors.Is(err, ca.ErrUnknownSerial):
		doc.State = "unknown"
	case errors.Is(err, ca.ErrRevoked):
		doc.State, doc.Before = "already-revoked", ""
	case err != nil:
		return doc, err
	case doc.Before != "":
		doc.State = "reason-changed"
	}
	return doc, nil
}

// serialIn takes it from the certificate that a Secret holds. The roots are in there as
// well, and are not meant.
func (c *call) serialIn(rest string) (*big.Int, *x509.Certificate, error) {
	if !strings.Contains(rest, "/") {
		return nil, nil, usagef("k8s://%s: is no Secret: k8s://NAMESPACE/NAME is expected", rest)
	}
	objects, err := c.stored("k8s", rest)
	if err != nil {
		return nil, nil, err
	}
	var found *x509.Certificate
	for _, cert := range inspect.Certificates(objects) {
		switch {
		case cert.IsCA, found != nil && cert.Equal(found):
		case found != nil:
			return nil, nil, withHint(fmt.Errorf("k8s://%s: holds the certificates of several services", rest), "meshpki inspect lists them; name one by its serial number")
		default:
			found = cert
		}
	}
	if found == nil {
		return nil, nil, fmt.Errorf("k8s://%s: %w", rest, errNoCertificate)
	}
	return found.SerialNumber, found, nil
}

// serial reads a serial number, or takes it from a file's first certificate, which
// it gives too.
func (c *call) serial(arg string) (*big.Int, *x509.Certificate, error) {
	if n, err := ca.ParseSerial(arg); err == nil {
		return n, nil, nil
	}
	objects, err := c.objectsOfFile(arg)
	if err != nil {
		return nil, nil, err
	}
	certs := inspect.Certificates(objects)
	if len(certs) == 0 {
		return nil, nil, fmt.Errorf("%s: %w", arg, errNoCertificate)
	}
	return certs[0].SerialNumber, certs[0], nil
}
