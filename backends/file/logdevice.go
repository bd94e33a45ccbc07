package file

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// A device that keeps the log's key seldom has Ed25519. For ECDSA the signed note
// has the algorithm 2: a signature over SHA-256 in ASN.1, and a key that is its
// SubjectPublicKeyInfo, by the hash of which it is known (C2SP signed-note,
// Section Signature types).
const algECDSA = 2

var (
	errLogKeyKind = errors.New("the log's key: of this kind it cannot be; ec-p256 or ed25519 would do")
	errNoteKey    = errors.New("it is no ECDSA key of a note")
)

// logVerifierKey is the public key of a log in one line.
func logVerifierKey(origin string, pub crypto.PublicKey) (string, error) {
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		return note.NewEd25519VerifierKey(origin, pub)
	case *ecdsa.PublicKey:
		spki, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s+%08x+%s", origin, spkiHash(spki), base64.StdEncoding.EncodeToString(append([]byte{algECDSA}, spki...))), nil
	}
	return "", errLogKeyKind
}

func spkiHash(spki []byte) uint32 {
	sum := sha256.Sum256(spki)
	return binary.BigEndian.Uint32(sum[:])
}

// ecdsaKey verifies notes. It implements note.Verifier.
type ecdsaKey struct {
	name string
	hash uint32
	key  *ecdsa.PublicKey
}

func (k *ecdsaKey) Name() string    { return k.name }
func (k *ecdsaKey) KeyHash() uint32 { return k.hash }

func (k *ecdsaKey) Verify(msg, sig []byte) bool {
	sum := sha256.Sum256(msg)
	return ecdsa.VerifyASN1(k.key, sum[:], sig)
}

// parseECDSAKey reads a verifier key of algorithm 2.
func parseECDSAKey(text string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(text, "+")
	hash, key, found := strings.Cut(rest, "+")
	if !found || name == "" || strings.ContainsAny(name, " \t\r\n") {
		return nil, errNoteKey
	}
	said, err := hex.DecodeString(hash)
	if err != nil || len(said) != 4 {
		return nil, errNoteKey
	}
	data, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(data) == 0 || data[0] != algECDSA {
		return nil, errNoteKey
	}
	pub, err := x509.ParsePKIXPublicKey(data[1:])
	if err != nil {
		return nil, errNoteKey
	}
	k, ok := pub.(*ecdsa.PublicKey)
	is := spkiHash(data[1:])
	if !ok || !bytes.Equal(said, binary.BigEndian.AppendUint32(nil, is)) {
		return nil, errNoteKey
	}
	return &ecdsaKey{name, is, k}, nil
}

// deviceSigner signs notes with a key that is elsewhere. It implements note.Signer.
type deviceSigner struct {
	note.Verifier
	key crypto.Signer
}

func newDeviceSigner(origin string, key crypto.Signer) (note.Signer, error) {
	text, err := logVerifierKey(origin, key.Public())
	if err != nil {
		return nil, err
	}
	verifier, err := ParseLogKey([]byte(text))
	if err != nil {
		return nil, err
	}
	return &deviceSigner{verifier, key}, nil
}

// Sign signs a note's text.
func (s *deviceSigner) Sign(msg []byte) ([]byte, error) {
	if _, ok := s.key.Public().(ed25519.PublicKey); ok {
		return s.key.Sign(rand.Reader, msg, crypto.Hash(0))
	}
	sum := sha256.Sum256(msg)
	return s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
}
