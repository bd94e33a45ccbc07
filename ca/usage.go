package ca

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// keyUsages are the uses of a leaf's key (RFC 5280, Section 4.2.1.3), as cert-manager
// and Kubernetes call them. Which of them a key can have depends on its algorithm.
var keyUsages = []struct {
	name string
	bit  x509.KeyUsage
	rsa  bool // RFC 3279, Section 2.3.1
	ec   bool // RFC 8813, Section 3
	ed   bool // RFC 8410, Section 5
}{
	{"digital signature", x509.KeyUsageDigitalSignature, true, true, true},
	{"content commitment", x509.KeyUsageContentCommitment, true, true, true},
	{"key encipherment", x509.KeyUsageKeyEncipherment, true, false, false},
	{"data encipherment", x509.KeyUsageDataEncipherment, true, false, false},
	{"key agreement", x509.KeyUsageKeyAgreement, false, true, false},
}

// extendedUsages are what a leaf may be used for (RFC 5280, Section 4.2.1.12).
var extendedUsages = []struct {
	name string
	eku  x509.ExtKeyUsage
}{
	{"server auth", x509.ExtKeyUsageServerAuth},
	{"client auth", x509.ExtKeyUsageClientAuth},
	{"code signing", x509.ExtKeyUsageCodeSigning},
	{"email protection", x509.ExtKeyUsageEmailProtection},
	{"timestamping", x509.ExtKeyUsageTimeStamping},
	{"ipsec end system", x509.ExtKeyUsageIPSECEndSystem},
	{"ipsec tunnel", x509.ExtKeyUsageIPSECTunnel},
	{"ipsec user", x509.ExtKeyUsageIPSECUser},
}

// Usages lists the names that ParseUsages takes.
func Usages() []string {
	var names []string
	for _, u := range keyUsages {
		names = append(names, u.name)
	}
	for _, u := range extendedUsages {
		names = append(names, u.name)
	}
	return names
}

// ParseUsages reads what a key and a certificate may be used for, in the words of
// Usages. What only a CA may do is none of them.
func ParseUsages(names []string) (usage x509.KeyUsage, extended []x509.ExtKeyUsage, err error) {
	for _, name := range names {
		if err := CheckUsage(name); err != nil {
			return 0, nil, err
		}
		for _, u := range keyUsages {
			if u.name == name {
				usage |= u.bit
			}
		}
		for _, u := range extendedUsages {
			if u.name == name && !slices.Contains(extended, u.eku) {
				extended = append(extended, u.eku)
			}
		}
	}
	return usage, extended, nil
}

// CheckUsage says why a word is no usage of a leaf.
func CheckUsage(name string) error {
	switch {
	case slices.Contains(Usages(), name):
		return nil
	case name == "cert sign" || name == "crl sign":
		return fmt.Errorf("usage %q belongs to CAs: a leaf signs no certificates and no CRLs (RFC 5280, Section 4.2.1.9)", name)
	case name == "any":
		return fmt.Errorf("usage %q would let a certificate be used for whatever there is (RFC 5280, Section 4.2.1.12)", name)
	case name == "ocsp signing":
		return fmt.Errorf("usage %q would let its holder answer for every certificate of its CA (RFC 6960, Section 4.2.2.2)", name)
	}
	return fmt.Errorf("usage %s is none of %s", quoteShort(name), strings.Join(Usages(), ", "))
}

// usageFor is what of a key usage a key of that type can have.
func usageFor(usage x509.KeyUsage, kt KeyType) x509.KeyUsage {
	for _, u := range keyUsages {
		fits := u.ec
		switch {
		case strings.HasPrefix(string(kt), "rsa-"):
			fits = u.rsa
		case kt == Ed25519:
			fits = u.ed
		}
		if !fits {
			usage &^= u.bit
		}
	}
	return usage
}

// UsageNames lists the usages of a certificate in the words of Usages, and those that
// have none there as numbers.
func UsageNames(usage x509.KeyUsage, extended []x509.ExtKeyUsage) (key, purposes []string) {
	for _, u := range keyUsages {
		if usage&u.bit != 0 {
			key = append(key, u.name)
		}
	}
	for _, e := range extended {
		name := fmt.Sprintf("extended usage %d", e)
		for _, u := range extendedUsages {
			if u.eku == e {
				name = u.name
			}
		}
		purposes = append(purposes, name)
	}
	return key, purposes
}
