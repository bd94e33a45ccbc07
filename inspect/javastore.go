package inspect

import (
	"bytes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // JCEKS is encrypted with it
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // JCEKS is made with it
	"crypto/sha1" //nolint:gosec // JKS is made with it
	"encoding/binary"
	"errors"
	"fmt"
)

// Java's keystores JKS and JCEKS. Their certificates stand in the clear, so no
// password is needed to see them; keys are opened where one is given. There is no
// standard: the form is that of the JDK's own writer.

const (
	magicJKS   = 0xfeedfeed
	magicJCEKS = 0xcececece
)

// isJavaStore tells JKS and JCEKS by their first four bytes.
func isJavaStore(data []byte) bool {
	if len(data) < 12 {
		return false
	}
	magic := binary.BigEndian.Uint32(data)
	return magic == magicJKS || magic == magicJCEKS
}

// javaReader reads big-endian numbers and strings; after the first that is not
// there, everything is empty.
type javaReader struct {
	rest       []byte
	cut        bool
	iterations int // of hashing a password that may still be done
}

func (r *javaReader) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.rest, r.cut = nil, true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *javaReader) number(size int) int {
	n := 0
	for _, b := range r.bytes(size) {
		n = n<<8 | int(b)
	}
	return n
}

func (r *javaReader) text() string { return string(r.bytes(r.number(2))) }

// certificate reads a certificate with its type before it, as version 2 has it.
func (r *javaReader) certificate(version int) Object {
	form := "X.509"
	if version > 1 {
		form = r.text()
	}
	der := r.bytes(r.number(4))
	switch {
	case r.cut:
		return Object{Kind: KindCertificate, Err: errJavaCut}
	case form != "X.509":
		return Object{Kind: KindOther, Label: "certificate of a kind that is not X.509"}
	}
	return objectOf(KindCertificate, der)
}

var errJavaCut = errors.New("the keystore is cut off, or damaged, from here on")

// javaObjects are the objects within a Java keystore.
func javaObjects(data []byte, o ParseOptions) []Object {
	r := &javaReader{rest: data[4:], iterations: mostIterations}
	version, entries := r.number(4), r.number(4)
	if version != 1 && version != 2 {
		return []Object{{Kind: KindKeystore, Err: fmt.Errorf("a Java keystore of version %d, which is not known here", version)}}
	}
	var list []Object
	if err := checkJavaPassword(data, o); err != nil {
		list = append(list, Object{Kind: KindKeystore, Err: err})
	}
	for range entries {
		var entry []Object
		switch tag := r.number(4); {
		case r.cut:
			entry = []Object{{Kind: KindKeystore, Err: errJavaCut}}
		case tag == 1:
			entry = r.keyEntry(version, o)
		case tag == 2:
			name := r.text()
			r.bytes(8)
			entry = named(name, []Object{r.certificate(version)})
		default:
			r.cut = true
			entry = []Object{{Kind: KindKeystore, Err: errors.New("an entry that is neither a key with its chain nor a certificate, such as a secret key: what follows it is not read")}}
		}
		if list = append(list, entry...); r.cut || len(list) > mostObjects {
			break
		}
	}
	if len(list) == 0 {
		list = []Object{{Kind: KindKeystore, Err: errors.New("a Java keystore with nothing in it")}}
	}
	return list
}

// named says in which entry objects were found.
func named(entry string, list []Object) []Object {
	for i := range list {
		list[i].Within = entry
	}
	return list
}

// keyEntry reads a private key and its chain.
func (r *javaReader) keyEntry(version int, o ParseOptions) []Object {
	name := r.text()
	r.bytes(8) // when it was made
	sealed := r.bytes(r.number(4))
	chain := r.number(4)
	if r.cut {
		return named(name, []Object{{Kind: KindKey, Err: errJavaCut}})
	}
	password := o.Password
	if password == nil {
		password = []byte(customaryPassword)
	}
	key := Object{Kind: KindKey, Encrypted: true}
	if text, err := r.open(sealed, password); err == nil {
		key = objectOf(KindKey, text)
		clear(text)
	}
	list := []Object{key}
	for range chain {
		c := r.certificate(version)
		if list = append(list, c); r.cut || len(list) > mostObjects {
			break
		}
	}
	return named(name, list)
}

// checkJavaPassword holds the password against the keystore's own check of it.
func checkJavaPassword(data []byte, o ParseOptions) error {
	if o.Password == nil || len(data) < sha1.Size {
		return nil
	}
	h := sha1.New()
	h.Write(javaPassword(o.Password))
	h.Write([]byte("Mighty Aphrodite"))
	body := data[:len(data)-sha1.Size]
	h.Write(body)
	if !hmac.Equal(h.Sum(nil), data[len(body):]) {
		return fmt.Errorf("the password does not fit, or the keystore was changed: %w", ErrKeystoreLocked)
	}
	return nil
}

// javaPassword is a password as JKS hashes it: each character in two bytes.
func javaPassword(p []byte) []byte {
	b := bmpString(string(p))
	return b[:len(b)-2]
}

// open decrypts a key of JKS or JCEKS.
func (r *javaReader) open(sealed, password []byte) ([]byte, error) {
	info, _, ok := readTLV(sealed)
	if !ok {
		return nil, errJavaCut
	}
	data := info.child(1).octets()
	switch info.child(0).child(0).oid() {
	case "1.3.6.1.4.1.42.2.17.1.1":
		return openJKS(data, javaPassword(password))
	case "1.3.6.1.4.1.42.2.19.1":
		return r.openJCEKS(info.child(0).child(1), data, password)
	}
	return nil, errors.New("the key is encrypted in a way that is not known here")
}

// openJKS is the JDK's own cipher: a salt, the key under a stream of hashes, a check.
func openJKS(data, password []byte) ([]byte, error) {
	const size = sha1.Size
	if len(data) < 2*size || len(data) > maxKeyBytes {
		return nil, errJavaCut
	}
	sum, body, check := data[:size], data[size:len(data)-size], data[len(data)-size:]
	text := make([]byte, 0, len(body)+size)
	for len(text) < len(body) {
		next := sha1.Sum(append(password[:len(password):len(password)], sum...))
		for i, b := range body[len(text):min(len(text)+size, len(body))] {
			text = append(text, b^next[i])
		}
		sum = next[:]
	}
	if got := sha1.Sum(append(password[:len(password):len(password)], text...)); !hmac.Equal(got[:], check) {
		clear(text)
		return nil, ErrKeystoreLocked
	}
	return text, nil
}

// openJCEKS is PBEWithMD5AndTripleDES as the JDK has it.
func (r *javaReader) openJCEKS(parameters tlv, data, password []byte) ([]byte, error) {
	salt := bytes.Clone(parameters.child(0).octets())
	rounds, ok := parameters.child(1).integer()
	if len(salt) != 8 || !ok || rounds < 1 || 2*rounds > r.iterations || len(data)%8 != 0 || len(data) == 0 || len(data) > maxKeyBytes {
		return nil, errJavaCut
	}
	r.iterations -= 2 * rounds
	if bytes.Equal(salt[:4], salt[4:]) {
		// The JDK means to turn the half round, and does this.
		salt[0], salt[1], salt[2] = salt[3], salt[0], salt[1]
	}
	var material []byte
	for _, half := range [][]byte{salt[:4], salt[4:]} {
		sum := half
		for range rounds {
			next := md5.Sum(append(sum[:len(sum):len(sum)], password...))
			sum = next[:]
		}
		material = append(material, sum...)
	}
	block, err := des.NewTripleDESCipher(material[:24])
	if err != nil {
		return nil, err
	}
	text := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, material[24:]).CryptBlocks(text, data)
	pad := int(text[len(text)-1])
	if pad == 0 || pad > 8 || !isEncodedKey(text[:len(text)-pad]) {
		clear(text)
		return nil, ErrKeystoreLocked
	}
	return text[:len(text)-pad], nil
}

// isEncodedKey tells a decrypted key from noise.
func isEncodedKey(text []byte) bool {
	t, rest, ok := readTLV(text)
	return ok && t.is(tagSequence) && len(rest) == 0
}
