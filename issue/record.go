package issue

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

// Record is what a service's files were ordered as: enough to order them again.
// It is kept with the files, in their Facts; nothing in it is secret.
type Record struct {
	Schema      string   `json:"schema"`
	Service     string   `json:"service"`
	Namespace   string   `json:"namespace"`
	TrustDomain string   `json:"trustDomain"`
	Cluster     string   `json:"clusterDomain"`
	Kind        Kind     `json:"identity,omitempty"`
	Datacenter  string   `json:"datacenter,omitempty"`
	SPIFFEID    string   `json:"spiffeId,omitempty"`
	DNS         []string `json:"dns,omitempty"`
	IP          []string `json:"ip,omitempty"`
	Email       []string `json:"email,omitempty"`
	URI         []string `json:"uri,omitempty"`
	ShortNames  bool     `json:"shortNames,omitempty"`
	NoDNS       bool     `json:"noDefaultDns,omitempty"`
	CommonName  string   `json:"commonName,omitempty"`
	Subject     string   `json:"subject,omitempty"`
	NoSubject   bool     `json:"noSubject,omitempty"`
	Profile     string   `json:"profile"`
	// ProfileForm is what a profile of one's own puts into certificates, as a digest: one
	// that is changed makes another order.
	ProfileForm string         `json:"profileForm,omitempty"`
	Validity    string         `json:"validity,omitempty"` // a Go duration; empty is the profile's
	RenewAt     int            `json:"renewAt,omitempty"`  // percent of the lifetime; 0 is the default
	KeyType     string         `json:"keyType"`
	ReuseKey    bool           `json:"reuseKey,omitempty"`   // a renewal has the same key certified
	Foreign     bool           `json:"foreignKey,omitempty"` // somebody else has the key
	Backend     string         `json:"backend,omitempty"`
	Outputs     []RecordOutput `json:"outputs"`
}

// RecordOutput is one place of a Record.
type RecordOutput struct {
	// To is the place, the same however it was spelled; empty is the service's own.
	To      string   `json:"to"`
	Layouts []string `json:"layouts"`
	Owner   string   `json:"owner,omitempty"`
	Group   string   `json:"group,omitempty"`
	Mode    string   `json:"mode,omitempty"`
	// Swap is empty for SwapDirectory.
	Swap string `json:"swap,omitempty"`
	// Labels and Annotations are those of a Secret.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Keystore is the file that has the password of its keystores, in full.
	Keystore string `json:"keystorePasswordFile,omitempty"`
}

const recordSchema = "meshpki/order/v1"

// Keys of the facts that are kept with a set.
const (
	FactOrder    = "order"
	FactSerial   = "serial"
	FactNotAfter = "notAfter"
	FactDue      = "due"
	// FactDelivered is when the set was laid out.
	FactDelivered = "delivered"
	// FactFiles and FactRoots are the digests of the files and of the roots laid out.
	FactFiles = "files"
	FactRoots = "roots"
	// FactFrom says that a manifest had the order (FromManifest), or is not there.
	FactFrom = "from"
	// FactFormer lists the places that earlier orders had, and the order has not, as
	// JSON; it is there if there are any.
	FactFormer = "former"
)

// Delivery is what is known of a credential that goes to its places, besides itself.
type Delivery struct {
	Order  string    // as OrderFact gives it
	Due    time.Time // when it is to be renewed
	At     time.Time // when it is laid out
	From   string    // FromManifest, or "" where it was ordered by hand
	Former []string  // the places that earlier orders had, as Record.Former gives them
}

// Facts gives the facts to keep with the credential's files.
func (d Delivery) Facts(c *Credential) map[string]string {
	facts := map[string]string{
		FactOrder:     d.Order,
		FactSerial:    ca.FormatSerial(c.Leaf().SerialNumber),
		FactNotAfter:  c.Leaf().NotAfter.UTC().Format(time.RFC3339),
		FactDue:       d.Due.UTC().Format(time.RFC3339),
		FactDelivered: d.At.UTC().Format(time.RFC3339),
	}
	if d.From != "" {
		facts[FactFrom] = d.From
	}
	if len(d.Former) > 0 {
		// A list of texts is always JSON.
		data, _ := json.Marshal(d.Former)
		facts[FactFormer] = string(data)
	}
	return facts
}

// OrderFacts are those of the facts that tell what is ordered, whatever was issued for it.
func OrderFacts(facts map[string]string) map[string]string {
	only := map[string]string{}
	for _, name := range []string{FactOrder, FactFrom, FactFormer} {
		if value, ok := facts[name]; ok {
			only[name] = value
		}
	}
	return only
}

// OrderFact is the record as FactOrder keeps it.
func (r Record) OrderFact() (string, error) {
	r.Schema = recordSchema
	data, err := json.Marshal(r)
	return string(data), err
}

// ErrNoRecord says that a set was kept without its order.
var ErrNoRecord = errors.New("the order is not kept with these files")

// RecordOf reads a Record back from the facts of a set.
func RecordOf(facts map[string]string) (Record, error) {
	text, ok := facts[FactOrder]
	if !ok {
		return Record{}, ErrNoRecord
	}
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, fmt.Errorf("the order kept with these files is damaged: %w", err)
	}
	if r.Schema != recordSchema {
		return Record{}, errors.New("the order kept with these files is of another version: " + strconv.Quote(r.Schema))
	}
	return r, nil
}

// Changes names the parts in which two records order something else, by their
// keys in JSON, in order; none where they order the same.
func (r Record) Changes(other Record) []string {
	r.Schema, other.Schema = recordSchema, recordSchema
	if reflect.DeepEqual(r, other) {
		return nil // as nearly always, and without JSON
	}
	a, b := r.parts(), other.parts()
	var changed []string
	for key := range a {
		if string(a[key]) != string(b[key]) {
			changed = append(changed, key)
		}
	}
	for key := range b {
		if _, both := a[key]; !both {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	return changed
}

// parts is the record as JSON, by its keys.
func (r Record) parts() map[string]json.RawMessage {
	r.Schema = recordSchema
	parts := map[string]json.RawMessage{}
	// A struct of texts and numbers is always JSON, and an object.
	data, _ := json.Marshal(r)
	_ = json.Unmarshal(data, &parts)
	return parts
}

// Wish is the identity that the record orders. What is not well-formed is a *WishError.
func (r Record) Wish() (Wish, error) {
	w := Wish{Service: r.Service, Namespace: r.Namespace, ClusterDomain: r.Cluster, Kind: r.Kind, Datacenter: r.Datacenter,
		SPIFFEID: r.SPIFFEID, DNS: r.DNS, IP: r.IP, Email: r.Email, URI: r.URI, ShortNames: r.ShortNames,
		NoDefaultDNS: r.NoDNS, CommonName: r.CommonName, NoSubject: r.NoSubject}
	var err error
	if w.TrustDomain, err = spiffeid.ParseTrustDomain(r.TrustDomain); err != nil {
		return w, &WishError{"trust domain", err.Error()}
	}
	if _, err := ParseKind(string(r.Kind)); err != nil {
		return w, &WishError{"identity", err.Error()}
	}
	if r.Subject != "" {
		if w.Subject, err = ca.ParseDN(r.Subject); err != nil {
			return w, &WishError{"subject", err.Error()}
		}
	}
	return w, w.check()
}

// Order is the record as an order, at a time. profile is the one of the name that the
// record has; the zero Profile stands for a built-in one. judge, which may be nil, is
// as for Wish.Identity; notAfter, if not zero, is an end that was asked for by date.
func (r Record) Order(profile ca.Profile, judge func(ca.Name) error, now, notAfter time.Time) (Order, []ca.Name, error) {
	w, err := r.Wish()
	if err != nil {
		return Order{}, nil, err
	}
	o := Order{Service: r.Service, Namespace: r.Namespace, Profile: profile}
	if profile.Name() == "" {
		if o.Profile, err = ca.ProfileByName(r.Profile); err != nil {
			return o, nil, &WishError{"profile", err.Error()}
		}
	}
	if o.KeyType, err = ca.ParseKeyType(r.KeyType); err != nil {
		return o, nil, &WishError{"key type", err.Error()}
	}
	o.Validity = ca.Validity{NotAfter: notAfter}
	if notAfter.IsZero() {
		life := o.Profile.Validity()
		if r.Validity != "" {
			if life, err = time.ParseDuration(r.Validity); err != nil {
				return o, nil, &WishError{"validity", err.Error()}
			}
		}
		o.Validity = ca.Validity{NotAfter: now.Add(life), UpTo: r.Validity == ""}
	}
	if !o.Validity.NotAfter.After(now) {
		return o, nil, &ca.ValidityError{Problem: "a certificate must end in the future"}
	}
	var leftOut []ca.Name
	o.Identity, leftOut, err = w.Identity(bothJudge(judge, o.Profile))
	o.Identity = o.Profile.Dress(o.Identity)
	return o, leftOut, err
}

// bothJudge asks the authority, which may have nothing to say, and the profile.
func bothJudge(judge func(ca.Name) error, profile ca.Profile) func(ca.Name) error {
	if profile.Own() == nil {
		return judge
	}
	return func(n ca.Name) error {
		if judge != nil {
			if err := judge(n); err != nil {
				return err
			}
		}
		return profile.Judge(n)
	}
}
