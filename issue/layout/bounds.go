package layout

import (
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
)

// The bounds of a keystore that is read: what somebody else has put into a place must
// cost neither hours nor all memory.
const (
	maxIterations = 1_000_000
	maxDepth      = 24
	jksMagic      = 0xfeedfeed
)

// boundPKCS12 refuses a PKCS#12 file that asks for work without bound: no number in
// it that is not inside an encrypted part may be larger than the most iterations.
func boundPKCS12(der []byte, depth int) error {
	if depth > maxDepth {
		return errors.New("it is nested too deeply")
	}
	for rest := der; len(rest) > 0; {
		var v asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &v); err != nil {
			return fmt.Errorf("it is no PKCS#12 file: %w", err)
		}
		switch {
		case v.IsCompound:
			if err := boundPKCS12(v.Bytes, depth+1); err != nil {
				return err
			}
		case v.Class == asn1.ClassUniversal && v.Tag == asn1.TagInteger:
			if n := new(big.Int).SetBytes(v.Bytes); n.Cmp(big.NewInt(maxIterations)) > 0 {
				return fmt.Errorf("it asks for more than %d iterations", maxIterations)
			}
		case v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOctetString && len(v.Bytes) > 1 && v.Bytes[0] == 0x30:
			// The contents stand in octet strings; so do salts, which may begin alike.
			var inner asn1.RawValue
			if rest, err := asn1.Unmarshal(v.Bytes, &inner); err == nil && len(rest) == 0 {
				if err := boundPKCS12(v.Bytes, depth+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// boundJKS refuses a Java keystore whose lengths go beyond its own bytes.
func boundJKS(data []byte) error {
	r := lengths{data: data}
	if r.number(4) != jksMagic {
		return errors.New("it is no Java keystore")
	}
	version, entries := r.number(4), r.number(4)
	for range entries {
		tag := r.number(4)
		r.skip(r.number(2)) // alias
		r.skip(8)           // date
		certs := uint64(1)
		if tag == 1 {
			r.skip(r.number(4))
			certs = r.number(4)
		}
		for range certs {
			if version == 2 {
				r.skip(r.number(2)) // type
			}
			r.skip(r.number(4))
			if r.short {
				break
			}
		}
		if r.short {
			break
		}
	}
	if r.short {
		return errors.New("it is a Java keystore that was cut short, or is corrupt")
	}
	return nil
}

// lengths reads numbers and passes over bytes until there are none left.
type lengths struct {
	data  []byte
	short bool
}

func (r *lengths) skip(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.short, r.data = true, nil
		return nil
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

func (r *lengths) number(size uint64) uint64 {
	var padded [8]byte
	copy(padded[8-size:], r.skip(size))
	return binary.BigEndian.Uint64(padded[:])
}
