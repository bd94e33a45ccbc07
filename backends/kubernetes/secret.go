package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/issue"
)

// What stands on our Secrets, for us and for people. None of it is cert-manager's.
const (
	domain = "meshpki.github.io/"
	// labelManaged finds them all.
	labelManaged = domain + "managed"
	// noteSet is what is kept with the files: facts, and which keys are whose.
	noteSet = domain + "set"
	// Facts that tell people and other programs what it is and when it is due.
	noteDue      = domain + "due"
	noteNotAfter = domain + "not-after"
	noteSerial   = domain + "serial"
)

// shownFacts are the facts that have a note of their own.
var shownFacts = map[string]string{noteDue: issue.FactDue, noteNotAfter: issue.FactNotAfter, noteSerial: issue.FactSerial}

const (
	setSchema  = "meshpki/set/v1"
	typeTLS    = "kubernetes.io/tls"
	typeOpaque = "Opaque"
)

// demanded are the keys that a Secret of type kubernetes.io/tls has to have.
var demanded = [...]string{"tls.crt", "tls.key"}

// set is the note of that name.
type set struct {
	Schema string            `json:"schema"`
	Facts  map[string]string `json:"facts,omitempty"`
	// Files are the keys that are ours, Secret those of them with private keys.
	Files  []string `json:"files"`
	Secret []string `json:"secret,omitempty"`
	// Labels and Annotations are the keys of those that the set wants besides ours.
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
}

// meta is what every object carries, as far as we look at it.
type meta struct {
	Name              string            `json:"name,omitempty"`
	GenerateName      string            `json:"generateName,omitempty"`
	Namespace         string            `json:"namespace,omitempty"`
	UID               string            `json:"uid,omitempty"`
	ResourceVersion   string            `json:"resourceVersion,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
	ManagedFields     []managed         `json:"managedFields,omitempty"`
	DeletionTimestamp string            `json:"deletionTimestamp,omitempty"`
	OwnerReferences   []owner           `json:"ownerReferences,omitempty"`
}

type owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// managed is who owns which fields.
type managed struct {
	Manager   string          `json:"manager"`
	Operation string          `json:"operation"`
	FieldsV1  json.RawMessage `json:"fieldsV1"`
}

// secret is a Secret as the API server has it.
type secret struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   meta              `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Immutable  bool              `json:"immutable,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

// live is what is known of a Secret that was read: enough to write over it, and nothing
// secret.
type live struct {
	term                 string
	at                   issue.Version
	exists               bool
	uid, resourceVersion string
	typ                  string
	immutable, leaving   bool
	set                  *set // nil where it is not ours
	damaged              error
	keys                 map[string][sha256.Size]byte // the digest of each value
	notes, labels        map[string]string            // ours alone
	owners               map[string][]string          // the other managers of a field
	updates              bool                         // we own fields by other means than apply
	holder               string                       // cert-manager's Certificate that it belongs to
	recalled             bool                         // it was not read, but is what an earlier write has left
}

// version is what the place is at: nothing where there is nothing of ours. What others
// do to the Secret's other parts makes no new one.
func (l *live) version() issue.Version { return l.at }

func (l *live) makeVersion() issue.Version {
	if !l.exists || l.set == nil {
		return ""
	}
	h := sha256.New()
	h.Write([]byte(l.notes[noteSet]))
	for _, name := range slices.Sorted(slices.Values(l.set.Files)) {
		if sum, there := l.keys[name]; there {
			h.Write([]byte(name))
			h.Write(sum[:])
		}
	}
	return issue.Version(l.uid + "/" + hex.EncodeToString(h.Sum(nil)[:16]))
}

// kept is what is remembered between a look and a write: thousands of places may wait
// for their turn. It has no facts, and of long notes the digest.
func (l *live) kept() *live {
	k := *l
	if l.set != nil {
		k.set = &set{Files: l.set.Files}
	}
	k.notes = make(map[string]string, len(l.notes))
	for name, value := range l.notes {
		k.notes[name] = brief(value)
	}
	return &k
}

// longestBrief is how long a value may be that brief leaves as it is: no digest is longer.
const longestBrief = len("sha256:") + sha256.Size

// brief is a value, or in place of a long one its digest.
func brief(value string) string {
	if len(value) <= longestBrief {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return "sha256:" + string(sum[:])
}

// same tells whether two values are, of which either may be brief.
func same(a, b string) bool { return a == b || brief(a) == brief(b) }

// liveOf remembers a Secret.
func liveOf(s *secret) *live {
	m := &s.Metadata
	l := &live{exists: true, uid: m.UID, resourceVersion: m.ResourceVersion, typ: s.Type, immutable: s.Immutable,
		leaving: m.DeletionTimestamp != "", keys: map[string][sha256.Size]byte{}, notes: ours(m.Annotations), labels: ours(m.Labels), holder: holderOf(m)}
	for name, value := range s.Data {
		l.keys[name] = sha256.Sum256(value)
	}
	l.set, l.damaged = readSet(m.Annotations)
	if l.set != nil {
		also(l.labels, m.Labels, l.set.Labels)
		also(l.notes, m.Annotations, l.set.Annotations)
	}
	for _, f := range m.ManagedFields {
		switch {
		case f.Manager == manager && f.Operation == "Apply":
		case f.Manager == manager:
			l.updates = true
		default:
			l.own(f)
		}
	}
	l.at = l.makeVersion()
	return l
}

// ours are the labels or annotations of our domain.
func ours(all map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range all {
		if strings.HasPrefix(name, domain) {
			out[name] = value
		}
	}
	return out
}

// also adds those of all that are named.
func also(to, all map[string]string, names []string) {
	for _, name := range names {
		if value, there := all[name]; there {
			to[name] = value
		}
	}
}

// own notes the fields of another manager that could be ours: keys and notes.
func (l *live) own(f managed) {
	var fields struct {
		Data     map[string]json.RawMessage `json:"f:data"`
		Metadata struct {
			Annotations map[string]json.RawMessage `json:"f:annotations"`
			Labels      map[string]json.RawMessage `json:"f:labels"`
		} `json:"f:metadata"`
	}
	// Fields that cannot be read are held against us by the server itself.
	_ = json.Unmarshal(f.FieldsV1, &fields)
	for prefix, names := range map[string]map[string]json.RawMessage{
		"data.": fields.Data, "metadata.annotations.": fields.Metadata.Annotations, "metadata.labels.": fields.Metadata.Labels,
	} {
		for name := range names {
			if name, ok := strings.CutPrefix(name, "f:"); ok {
				if l.owners == nil {
					l.owners = map[string][]string{}
				}
				l.owners[prefix+name] = append(l.owners[prefix+name], f.Manager)
			}
		}
	}
}

// errSetDamaged says that our own note cannot be read.
var errSetDamaged = errors.New("the annotation " + noteSet + " is damaged, or of a later version")

// readSet reads our note; nil where there is none.
func readSet(notes map[string]string) (*set, error) {
	text, ok := notes[noteSet]
	if !ok {
		return nil, nil
	}
	s := &set{}
	if json.Unmarshal([]byte(text), s) != nil || s.Schema != setSchema {
		return &set{}, errSetDamaged
	}
	return s, nil
}

// holderOf names cert-manager's Certificate that a Secret belongs to; "" where none
// does.
func holderOf(m *meta) string {
	if name := m.Annotations["cert-manager.io/certificate-name"]; name != "" {
		return name
	}
	for _, o := range m.OwnerReferences {
		if o.Kind == "Certificate" && strings.HasPrefix(o.APIVersion, "cert-manager.io/") {
			return o.Name
		}
	}
	return ""
}

// files are those of the set in a Secret.
func (s *secret) files(of *set) issue.Files {
	files := issue.Files{}
	for _, name := range of.Files {
		if data, ok := s.Data[name]; ok {
			files[name] = issue.File{Data: data, Secret: slices.Contains(of.Secret, name)}
		}
	}
	return files
}

// marks are the labels and annotations of a set.
func marks(want issue.Set) (labels, notes map[string]string, err error) {
	s := set{Schema: setSchema, Facts: want.Facts, Files: want.Files.Names(), Labels: names(want.Labels), Annotations: names(want.Annotations)}
	for _, name := range s.Files {
		if want.Files[name].Secret {
			s.Secret = append(s.Secret, name)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, nil, err
	}
	notes = map[string]string{noteSet: string(text)}
	for note, fact := range shownFacts {
		if value := want.Facts[fact]; value != "" {
			notes[note] = value
		}
	}
	labels = map[string]string{labelManaged: "true"}
	for key, value := range want.Labels {
		if !strings.HasPrefix(key, domain) {
			labels[key] = value
		}
	}
	for key, value := range want.Annotations {
		if !strings.HasPrefix(key, domain) {
			notes[key] = value
		}
	}
	return labels, notes, nil
}

// typeOf is the type of a new Secret for those files.
func typeOf(files issue.Files) string {
	_, crt := files["tls.crt"]
	_, key := files["tls.key"]
	if crt && key {
		return typeTLS
	}
	return typeOpaque
}
