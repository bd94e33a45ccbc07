// Package pemfile turns PEM text into certificates and keys and back. It knows
// what a PEM block may hold and nothing of files, trust or time.
package pemfile

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxSize is the most bytes that Read takes from one file or stream: 16 MiB.
const MaxSize = 16 << 20

// PEM block types (RFC 7468).
const (
	TypeCertificate  = "CERTIFICATE"
	TypeRequest      = "CERTIFICATE REQUEST"
	TypeCRL          = "X509 CRL"
	TypeKey          = "PRIVATE KEY"
	TypeECKey        = "EC PRIVATE KEY"
	TypeRSAKey       = "RSA PRIVATE KEY"
	TypeEncryptedKey = "ENCRYPTED PRIVATE KEY"
)

// Errors that a caller can branch on.
var (
	ErrTooLarge      = errors.New("larger than 16 MiB")
	ErrEmpty         = errors.New("empty")
	ErrNoCertificate = errors.New("no certificate in it")
)

// ReadFile reads a whole file of at most MaxSize bytes. A larger one is
// ErrTooLarge and an empty one ErrEmpty, both wrapped with the name.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, name)
}

// Read reads all of r, at most MaxSize bytes; name is for errors.
func Read(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, bare(err))
	case len(data) > MaxSize:
		return nil, fmt.Errorf("%s: %w", name, ErrTooLarge)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, fmt.Errorf("%s: %w", name, ErrEmpty)
	}
	return data, nil
}

// bare drops the operation and the path from an error that will be wrapped with both.
func bare(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}

// Certificates reads every CERTIFICATE block of PEM text, in order; text and
// other blocks between them are passed over. Without any it is ErrNoCertificate;
// a block that does not parse is an error that tells its number and line.
func Certificates(data []byte) ([]*x509.Certificate, error) {
	return CertificatesBy(data, x509.ParseCertificate)
}

// CertificatesBy is Certificates with another parser of DER: one that remembers what
// it has parsed before.
func CertificatesBy(data []byte, parse func(der []byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	rest := data
	for {
		kind, der, behind, ok := next(rest)
		if !ok {
			break
		}
		if rest = behind; kind != TypeCertificate {
			continue
		}
		cert, err := parse(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d, at line %d: %w", len(certs)+1, lastBegin(data[:len(data)-len(rest)]), err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, ErrNoCertificate
	}
	return certs, nil
}

// lastBegin is the number of the line in which the last block of text begins.
func lastBegin(text []byte) int {
	begin := max(0, bytes.LastIndex(text, []byte("-----BEGIN ")))
	return 1 + bytes.Count(text[:begin], []byte("\n"))
}

// EncodeCertificates gives the certificates as PEM, one block after the other,
// with one line feed behind the last and nothing after it: some consumers take
// any byte behind the last END line for an error.
func EncodeCertificates(certs ...*x509.Certificate) []byte {
	size := 0
	for _, c := range certs {
		size += blockSize(TypeCertificate, len(c.Raw))
	}
	out := make([]byte, 0, size)
	for _, c := range certs {
		out = appendBlock(out, TypeCertificate, c.Raw)
	}
	return out
}

// EncodeKey gives a private key as PKCS#8 PEM (RFC 5958).
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := marshalKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return appendBlock(make([]byte, 0, blockSize(TypeKey, len(der))), TypeKey, der), nil
}
