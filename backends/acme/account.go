package acme

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/mholt/acmez/v3/acme"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// session is an account that is logged in.
type session struct {
	*Authority

	client    *acme.Client
	account   acme.Account
	directory acme.Directory
}

// login finds the account, or makes it: once, whoever asks.
func (a *Authority) login(ctx context.Context) (*session, error) {
	release, err := a.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	directory, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	if a.wasLost() {
		a.account = nil
	}
	if a.account == nil {
		account, err := a.enter(ctx, directory)
		if err != nil {
			return nil, err
		}
		a.account = &account
	}
	return &session{a, a.client, *a.account, directory}, nil
}

// lose has the account looked up by the next login; wasLost tells whether that is to
// be done, once.
func (a *Authority) lose() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = true
}

func (a *Authority) wasLost() (lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	lost, a.lost = a.lost, false
	return lost
}

// enter looks the account up that the key has, and makes it where there is none.
func (a *Authority) enter(ctx context.Context, directory acme.Directory) (acme.Account, error) {
	key, made, err := a.accountKey()
	if err != nil {
		return acme.Account{}, err
	}
	account := acme.Account{PrivateKey: key, TermsOfServiceAgreed: true}
	for _, c := range a.settings.Contact {
		account.Contact = append(account.Contact, "mailto:"+c)
	}
	if !made {
		found, err := a.client.GetAccount(ctx, account)
		if err == nil {
			found.PrivateKey = key
			return found, nil
		}
		if !isProblem(err, acme.ProblemTypeAccountDoesNotExist) {
			return acme.Account{}, a.said("look up the account with the ACME server", err)
		}
	}
	if err := a.bind(ctx, &account, directory); err != nil {
		return acme.Account{}, err
	}
	account, err = a.client.NewAccount(ctx, account)
	if err != nil {
		return acme.Account{}, a.said("make an account with the ACME server", err)
	}
	account.PrivateKey = key
	return account, nil
}

// bind ties a new account to one that the authority knows otherwise
// (RFC 8555, Section 7.3.4).
func (a *Authority) bind(ctx context.Context, account *acme.Account, directory acme.Directory) error {
	wanted := directory.Meta != nil && directory.Meta.ExternalAccountRequired
	if a.settings.EABKeyFile == "" {
		if wanted {
			return &ca.Refusal{What: "an account without an external account binding", Why: a.directory + " demands one: write its key identifier and the file with its key under eab",
				Citation: "RFC 8555, Section 7.3.4"}
		}
		return nil
	}
	secret, err := pemfile.ReadFile(a.settings.EABKeyFile)
	if err != nil {
		return fmt.Errorf("the key of the external account binding: %w", err)
	}
	// Some servers hand it out in base64 with padding, some in base64url without.
	mac := bytes.TrimRight(bytes.TrimSpace(secret), "=")
	mac = bytes.ReplaceAll(bytes.ReplaceAll(mac, []byte("+"), []byte("-")), []byte("/"), []byte("_"))
	if err := account.SetExternalAccountBinding(ctx, a.client, acme.EAB{KeyID: a.settings.EABKeyID, MACKey: string(mac)}); err != nil {
		// What stands in the file is a secret: the error of its reading is not repeated.
		return fmt.Errorf("%s is no key of an external account binding: one line in base64url is expected (RFC 8555, Section 7.3.4)", a.settings.EABKeyFile)
	}
	return nil
}

// keyOwner is what the account's key is called where its passphrase is asked for.
const keyOwner = "acme"

// accountKey reads the account's key. In the state directory it is made where it is
// missing, 0600 from its first byte and encrypted where there is a passphrase.
func (a *Authority) accountKey() (key crypto.Signer, made bool, err error) {
	name := a.keyPath()
	key, err = a.readKey(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || a.settings.AccountKeyFile != "" {
		return key, false, err
	}
	if key, err = ca.NewKey(ca.ECP256); err != nil {
		return nil, false, err
	}
	data, err := a.encodeKey(key)
	if err != nil {
		return nil, false, err
	}
	if err := durable.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, false, fmt.Errorf("keep the account's key: %w", err)
	}
	err = durable.CreateFile(name, data, 0o600)
	if errors.Is(err, fs.ErrExist) { // another was there first
		key, err = a.readKey(name)
		return key, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("keep the account's key: %w", err)
	}
	return key, true, nil
}

func (a *Authority) readKey(name string) (crypto.Signer, error) {
	data, err := pemfile.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the account's key: %w", err)
	}
	key, err := pemfile.ParseKey(data, a.passphrase())
	if err != nil {
		return nil, fmt.Errorf("the account's key: %s: %w", name, err)
	}
	return key, nil
}

func (a *Authority) encodeKey(key crypto.Signer) ([]byte, error) {
	if ask := a.passphrase(); ask != nil {
		switch pass, err := ask(); {
		case err != nil:
			return nil, err
		case len(pass) > 0:
			return pemfile.EncodeEncryptedKey(key, pass)
		}
	}
	return pemfile.EncodeKey(key)
}

func (a *Authority) passphrase() func() ([]byte, error) {
	if a.options.Passphrase == nil {
		return nil
	}
	return func() ([]byte, error) { return a.options.Passphrase(keyOwner) }
}
