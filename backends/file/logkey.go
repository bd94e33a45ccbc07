package file

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/meshpki/meshpki/backends/file/tilelog"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// The log's key is an Ed25519 key in the form of a note's signer, or one that a key
// URI names: Ed25519 or ECDSA. Its public half, a verifier key, lies beside the
// certificates: who may not read the one still verifies with the other.

// origin names the log of a directory: its trust domain, and the authority's name
// made into a label.
func (s Settings) origin() string {
	label := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, s.Name)
	if label = strings.Trim(label, "-"); label == "" {
		label = "mesh"
	}
	return s.TrustDomain + "/" + label
}

// newLogKey makes a key: the signer as it is kept, and the verifier.
func newLogKey(origin string) (signer, verifier string, err error) {
	return note.GenerateKey(rand.Reader, origin)
}

// ParseLogKey reads a log's public key, as `meshpki log key` gives it.
func ParseLogKey(data []byte) (note.Verifier, error) {
	text := string(bytes.TrimSpace(data))
	if strings.HasPrefix(text, "PRIVATE+KEY+") {
		return nil, errors.New("this is a private key; the public one begins with the log's origin")
	}
	if key, err := note.NewVerifier(text); err == nil {
		return key, nil
	}
	if key, err := parseECDSAKey(text); err == nil {
		return key, nil
	}
	return nil, errors.New("it is no public key of a log: origin+hash+key, in one line")
}

var errLogKey = errors.New("it is no private key of a log")

// parseLogSigner reads a private key.
func parseLogSigner(data []byte) (note.Signer, error) {
	signer, err := note.NewSigner(string(bytes.TrimSpace(data)))
	if err != nil {
		return nil, errLogKey // and nothing of what it holds
	}
	return signer, nil
}

// isBeginning tells whether this is the checkpoint of a log without entries.
func isBeginning(checkpoint []byte) bool {
	_, rest, _ := bytes.Cut(checkpoint, []byte("\n"))
	return bytes.HasPrefix(rest, []byte("0\n"))
}

// make makes the log's key and an empty log, in a directory that has neither. The
// private key comes last: with it the log exists. The public one is never there
// without a checkpoint that it verifies, so that who reads meanwhile, or after this
// was interrupted, finds no log or an empty one.
func (l *Ledger) make() (note.Signer, error) {
	checkpoint, err := os.ReadFile(l.path(logDir, "checkpoint"))
	switch {
	case err == nil && !isBeginning(checkpoint):
		return nil, &LedgerError{Path: l.path(keysDir, logKeyName), Entry: -1, Problem: "it is missing: nothing more can be recorded without it"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		if _, err := os.Lstat(l.path(logDir, "tile")); err == nil {
			return nil, &LedgerError{Path: l.path(logDir, "checkpoint"), Entry: -1, Problem: "it is missing, and there are entries"}
		}
	}
	signer, public, kept, err := l.newKey()
	if err != nil {
		return nil, err
	}
	key, err := ParseLogKey([]byte(public))
	if err != nil {
		return nil, err
	}
	for _, d := range []struct {
		name string
		mode fs.FileMode
	}{{keysDir, 0o700}, {caDir, dirMode}} {
		if err := durable.MkdirAll(l.path(d.name), d.mode); err != nil {
			return nil, err
		}
	}
	switch err := os.Remove(l.path(caDir, logPubName)); {
	case err == nil:
		if err := durable.SyncName(l.path(caDir, logPubName)); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	w := tilelog.Writer{Log: tilelog.Log{Dir: l.path(logDir), Key: key}, Signer: signer}
	if err := w.Begin(); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(l.path(caDir, logPubName), []byte(public+"\n"), publicMode); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(l.path(keysDir, kept.name), []byte(kept.text+"\n"), secretMode); err != nil {
		return nil, fmt.Errorf("make the log's key: %w", err)
	}
	return signer, nil
}

// keptKey is what the directory keeps of a log's private key: the key, or its URI.
type keptKey struct{ name, text string }

// newKey makes the log's key in a file, or takes the one that is elsewhere.
func (l *Ledger) newKey() (signer note.Signer, public string, kept keptKey, err error) {
	if l.device == nil {
		secret, public, err := newLogKey(l.origin)
		if err != nil {
			return nil, "", keptKey{}, err
		}
		signer, err := parseLogSigner([]byte(secret))
		return signer, public, keptKey{logKeyName, secret}, err
	}
	if public, err = logVerifierKey(l.origin, l.device.Public()); err != nil {
		return nil, "", keptKey{}, err
	}
	signer, err = newDeviceSigner(l.origin, l.device)
	return signer, public, keptKey{logURIName, l.deviceURI}, err
}

func (l *Ledger) openURI(uri string, create ca.KeyType) (crypto.Signer, error) {
	if l.OpenKey == nil {
		return nil, fmt.Errorf("the log's key: %w", errNoOpener)
	}
	return l.OpenKey(logName, uri, create)
}
