package layout

import (
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// object is the head of a Kubernetes manifest; more are its further fields.
func object(apiVersion, kind, name, namespace string, labels node, more ...entry) node {
	meta := node{{"name", name}}
	if namespace != "" {
		meta = append(meta, entry{"namespace", namespace})
	}
	if len(labels) > 0 {
		meta = append(meta, entry{"labels", labels})
	}
	return append(node{{"apiVersion", apiVersion}, {"kind", kind}, {"metadata", meta}}, more...)
}

// secret is a Secret with files as they are: PEM stays readable.
func secret(name, namespace, kind string, labels node, data node) node {
	return object("v1", "Secret", name, namespace, labels, entry{"type", kind}, entry{"stringData", data})
}

func configMap(name, namespace string, labels node, data node) node {
	return object("v1", "ConfigMap", name, namespace, labels, entry{"data", data})
}

// spec is the field that most kinds have.
func spec(fields ...entry) entry { return entry{"spec", node(fields)} }

// rendered gives the files of a scheme as the fields of a Secret, in that order; those
// that there are not are left out.
func rendered(c Consumer, h *Handover, names ...string) (node, error) {
	files := issue.Files{}
	if err := c.parts[h.Scheme].write(c, h, files); err != nil {
		return nil, err
	}
	var data node
	for _, name := range names {
		if f, ok := files[name]; ok {
			data = append(data, entry{name, string(f.Data)})
		}
	}
	return data, nil
}

// text is the value of a field that is a text; "" of another, or of none.
func (n node) text(i int) string {
	if i >= len(n) {
		return ""
	}
	s, _ := n[i].value.(string)
	return s
}

// nested is the value of a field that has fields itself; none of another.
func (n node) nested(i int) node {
	inner, _ := n[i].value.(node)
	return inner
}

func rootsPEM(h *Handover) string { return string(pemfile.EncodeCertificates(h.Roots...)) }
