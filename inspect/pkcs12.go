package inspect

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"unicode/utf16"
)

// Of PKCS#12 (RFC 7292) every certificate, CRL and key is read, whatever its order,
// number and attributes, so that a store can be looked at that its consumer would
// refuse. Without the password what is not encrypted is shown.

// ErrKeystoreLocked is what the errors wrap of a keystore that needs a password, or
// another one.
var ErrKeystoreLocked = errors.New("it is locked: its password is needed, or another one")

const (
	oidData          = "1.2.840.113549.1.7.1"
	oidEncryptedData = "1.2.840.113549.1.7.6"
	oidBags          = "1.2.840.113549.1.12.10.1."
	oidX509Cert      = "1.2.840.113549.1.9.22.1"
	oidX509CRL       = "1.2.840.113549.1.9.23.1"
	oidFriendlyName  = "1.2.840.113549.1.9.20"
)

// mostIterations is how often one keystore may have a password hashed, for all that
// is in it: a file can ask for any number.
const mostIterations = 4_000_000

// customaryPassword is the one that programs and people use where none is meant.
const customaryPassword = "changeit"

// keystore is a PKCS#12 file while it is read.
type keystore struct {
	password   []byte // as the key derivation of PKCS#12 wants it
	plain      []byte // as PBKDF2 wants it
	iterations int    // that may still be done
	objects    []Object
}

var errPKCS12 = errors.New("not a well-formed PKCS#12 file")

// pkcs12Objects are the objects within a PKCS#12 file. Without a password those are
// tried that programs use where nobody chose one.
func pkcs12Objects(der []byte, o ParseOptions) []Object {
	passwords := []string{"", customaryPassword}
	if o.Password != nil {
		passwords = []string{string(o.Password)}
	}
	budget := mostIterations
	var list []Object
	for _, p := range passwords {
		k := &keystore{password: bmpString(p), plain: []byte(p), iterations: budget}
		err := k.read(der)
		budget = k.iterations
		if err == nil {
			return k.objects
		}
		if len(k.objects) >= len(list) {
			list = append(k.objects, Object{Kind: KindKeystore, Err: err})
		}
		if !errors.Is(err, ErrKeystoreLocked) {
			break
		}
	}
	return list
}

// bmpString is a password as PKCS#12 hashes it (RFC 7292, Section B.1).
func bmpString(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return append(b, 0, 0)
}

// read goes through the file. What was found before an error stays in k.objects.
func (k *keystore) read(der []byte) error {
	pfx, _, ok := readTLV(der)
	if !ok {
		return errPKCS12
	}
	content := pfx.child(1)
	if content.child(0).oid() != oidData {
		return errors.New("a PKCS#12 file that is protected by a certificate: it is not read")
	}
	safe := content.child(1).child(0).octets()
	locked := k.checkMAC(pfx.child(2), safe)
	if locked != nil && !errors.Is(locked, ErrKeystoreLocked) {
		return locked
	}
	list, _, ok := readTLV(safe)
	if !ok || !list.is(tagSequence) {
		return errPKCS12
	}
	whole := list.each(func(info tlv) bool {
		switch info.child(0).oid() {
		case oidData:
			k.bags(info.child(1).child(0).octets(), locked != nil, 0)
		case oidEncryptedData:
			if locked != nil {
				return true
			}
			text, err := k.decrypt(info.child(1).child(0).child(1))
			if err != nil {
				locked = err
				return true
			}
			k.bags(text, false, 0)
		default:
			k.add(Object{Kind: KindKeystore, Err: errors.New("a part that is encrypted for somebody's certificate: it is not read")})
		}
		return len(k.objects) <= mostObjects
	})
	switch {
	case locked != nil:
		return locked
	case !whole && len(k.objects) <= mostObjects:
		return errPKCS12
	case len(k.objects) == 0:
		return errors.New("a PKCS#12 file with nothing in it")
	}
	return nil
}

func (k *keystore) add(o Object) { k.objects = append(k.objects, o) }

// checkMAC holds the password against the file's own check of it; a file may have none.
func (k *keystore) checkMAC(mac tlv, text []byte) error {
	if !mac.is(tagSequence) {
		return nil
	}
	digest := mac.child(0)
	algorithm, want := digest.child(0), digest.child(1).octets()
	rounds := 1
	if n, ok := mac.child(2).integer(); ok {
		rounds = n
	}
	var got []byte
	if algorithm.child(0).oid() == oidPBMAC1 {
		key, hash, err := k.pbmac1(algorithm.child(1))
		if err != nil {
			return err
		}
		m := hmac.New(hash, key)
		m.Write(text)
		got = m.Sum(nil)
	} else {
		hash, known := digests[algorithm.child(0).oid()]
		if !known {
			return errors.New("a PKCS#12 file whose check of the password is of a kind that is not known here")
		}
		key, err := k.derive(hash, mac.child(1).octets(), rounds, 3, hash().Size())
		if err != nil {
			return err
		}
		m := hmac.New(hash, key)
		m.Write(text)
		if got = m.Sum(nil); !hmac.Equal(got, want) && len(k.password) == 2 {
			// An empty password is written in two ways.
			bare := *k
			bare.password = nil
			if key, err = bare.derive(hash, mac.child(1).octets(), rounds, 3, hash().Size()); err != nil {
				return err
			}
			k.iterations = bare.iterations
			m = hmac.New(hash, key)
			m.Write(text)
			if got = m.Sum(nil); hmac.Equal(got, want) {
				k.password = nil
			}
		}
	}
	if !hmac.Equal(got, want) {
		return ErrKeystoreLocked
	}
	return nil
}

// bags reads SafeContents. locked tells that encrypted keys cannot be opened.
func (k *keystore) bags(der []byte, locked bool, depth int) {
	list, _, ok := readTLV(der)
	if !ok || !list.is(tagSequence) || depth > 4 {
		k.add(Object{Kind: KindKeystore, Err: errPKCS12})
		return
	}
	whole := list.each(func(bag tlv) bool {
		value := bag.child(1).child(0)
		before := len(k.objects)
		switch bag.child(0).oid() {
		case oidBags + "1":
			k.add(objectOf(KindKey, value.full))
		case oidBags + "2":
			k.shrouded(value, locked)
		case oidBags + "3":
			k.wrapped(KindCertificate, oidX509Cert, value)
		case oidBags + "4":
			k.wrapped(KindCRL, oidX509CRL, value)
		case oidBags + "6":
			k.bags(value.full, locked, depth+1)
		default:
			k.add(Object{Kind: KindOther, Label: "secret"})
		}
		if name := friendlyName(bag.child(2)); name != "" {
			for i := range k.objects[before:] {
				k.objects[before+i].Within = name
			}
		}
		return len(k.objects) <= mostObjects
	})
	if !whole && len(k.objects) <= mostObjects {
		k.add(Object{Kind: KindKeystore, Err: errPKCS12})
	}
}

// wrapped reads a certificate or CRL in its bag.
func (k *keystore) wrapped(kind Kind, form string, bag tlv) {
	if bag.child(0).oid() != form {
		k.add(Object{Kind: KindOther, Label: string(kind) + " of a kind that is not X.509"})
		return
	}
	k.add(objectOf(kind, bag.child(1).child(0).octets()))
}

// shrouded opens an encrypted key, where there is a password for it.
func (k *keystore) shrouded(value tlv, locked bool) {
	if locked {
		k.add(Object{Kind: KindKey, Encrypted: true})
		return
	}
	text, err := k.decrypt(value)
	if err != nil {
		if errors.Is(err, ErrKeystoreLocked) {
			k.add(Object{Kind: KindKey, Encrypted: true})
			return
		}
		k.add(Object{Kind: KindKey, Err: err})
		return
	}
	defer clear(text)
	k.add(objectOf(KindKey, text))
}

// friendlyName is the name that a bag's attributes give it.
func friendlyName(attributes tlv) string {
	name := ""
	attributes.each(func(a tlv) bool {
		if a.child(0).oid() != oidFriendlyName {
			return true
		}
		b := a.child(1).child(0).body
		units := make([]uint16, 0, len(b)/2)
		for ; len(b) >= 2 && len(units) < 200; b = b[2:] {
			units = append(units, uint16(b[0])<<8|uint16(b[1]))
		}
		name = string(utf16.Decode(units))
		return false
	})
	return name
}

// spend takes iterations from the budget.
func (k *keystore) spend(n int) error {
	if n < 1 || n > k.iterations {
		return fmt.Errorf("it asks for %d rounds of hashing its password: no more than %d are done for a file", n, mostIterations)
	}
	k.iterations -= n
	return nil
}
