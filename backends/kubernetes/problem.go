package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/issue"
)

// Problem is what an API server answered instead of what was asked, or why there is
// no answer. It is fs.ErrNotExist, fs.ErrPermission, issue.ErrChanged or ca.ErrAway
// where it means that.
type Problem struct {
	Code    int           // of HTTP; zero without an answer
	Reason  string        // the server's own word: Conflict, NotFound
	Message string        // in its own words
	After   time.Duration // when to come again, if it says
	verb    string
	about   thing
	missing string // the kind of what is not there, where that is not the thing itself
	causes  []cause
}

// status is what an API server answers instead of an object.
type status struct {
	Kind    string  `json:"kind"`
	Reason  string  `json:"reason"`
	Message string  `json:"message"`
	Details details `json:"details"`
}

type details struct {
	Kind   string  `json:"kind"`
	Name   string  `json:"name"`
	Causes []cause `json:"causes"`
}

type cause struct {
	Type    string `json:"reason"`
	Message string `json:"message"`
	Field   string `json:"field"`
}

func asProblem(err error) (*Problem, bool) { return errors.AsType[*Problem](err) }

// problemOf reads an answer that is none of 2xx.
func problemOf(r call, answer *http.Response, body []byte) *Problem {
	p := &Problem{Code: answer.StatusCode, After: retryAfter(answer.Header), verb: r.verb(), about: r.about}
	var s status
	if decode(answer, body, &s) != nil || s.Kind != "Status" {
		p.Message = "the answer is " + answer.Status
		return p
	}
	p.Reason, p.Message, p.causes = s.Reason, s.Message, s.Details.Causes
	if kind := s.Details.Kind; kind != "" && kind != r.about.resource {
		p.missing = kind
	}
	return p
}

func (p *Problem) Error() string {
	switch {
	case p.Code == http.StatusUnauthorized:
		return fmt.Sprintf("%s %s: the API server does not know who asks: %s", p.verb, p.about, p.Message)
	case p.Code == http.StatusForbidden && p.Reason == "Forbidden" && !strings.Contains(p.Message, "because it is being terminated"):
		return fmt.Sprintf("%s %s is forbidden%s; %s would grant it: %s", p.verb, p.about, p.whom(), p.roleKind(), p.rule())
	case p.Code == http.StatusNotFound && p.missing == "namespaces":
		return fmt.Sprintf("namespace %s does not exist", p.about.namespace)
	case p.Code == 0 && p.Message != "":
		return fmt.Sprintf("%s %s: %s", p.verb, p.about, p.Message)
	}
	return fmt.Sprintf("%s %s: %s (%d)", p.verb, p.about, p.Message, p.Code)
}

// whom is who is refused, in the words of the server: User "x" cannot get resource….
func (p *Problem) whom() string {
	_, after, ok := strings.Cut(p.Message, `User "`)
	user, _, closed := strings.Cut(after, `"`)
	if !ok || !closed {
		return ""
	}
	return " to " + user
}

// Unwrap gives what a caller branches on.
func (p *Problem) Unwrap() error {
	switch {
	case p.Code == http.StatusUnauthorized, p.Code == http.StatusForbidden:
		return fs.ErrPermission
	case p.Code == http.StatusNotFound && p.missing == "":
		return fs.ErrNotExist
	case p.Code == http.StatusConflict && p.verb != "get" && p.verb != "list" && !p.contested():
		return issue.ErrChanged
	case p.Code == 0, p.Code == http.StatusConflict && !p.contested(), p.Code == http.StatusTooManyRequests, p.Code >= 500:
		return ca.ErrAway
	}
	return nil
}

// again tells whether the same call may be made once more: it was not carried out.
func (p *Problem) again(r call) bool {
	switch {
	case p.Code == http.StatusTooManyRequests:
		return true
	case r.method != http.MethodGet:
		return false
	}
	return p.Code == 0 || p.Code >= 500
}

// unsure tells whether a write may have been carried out although it failed.
func (p *Problem) unsure() bool { return p.Code == 0 || p.Code >= 500 }

// contested tells whether another manager owns a field that was to be changed.
func (p *Problem) contested() bool {
	return slices.ContainsFunc(p.causes, func(c cause) bool { return c.Type == "FieldManagerConflict" })
}

// roleKind is what grants a right to the thing.
func (p *Problem) roleKind() string {
	if p.about.namespace == "" {
		return "a ClusterRole with the rule"
	}
	return "a Role in namespace " + p.about.namespace + " with the rule"
}

// rule is the RBAC rule that grants the verb, as narrow as it can be. Neither create
// nor list can be kept to a name, nor can requests to signers, which have another each time.
func (p *Problem) rule() string { return p.about.rule(p.verb) }

func (t thing) rule(verbs ...string) string {
	resource := t.resource
	if t.sub != "" {
		resource += "/" + t.sub
	}
	named := ""
	if t.name != "" && t.resource != "certificatesigningrequests" && !slices.Contains(verbs, "create") && !slices.Contains(verbs, "list") {
		named = fmt.Sprintf(", resourceNames: [%s]", t.name)
	}
	return fmt.Sprintf("{apiGroups: [%q], resources: [%s]%s, verbs: [%s]}", t.group, resource, named, strings.Join(verbs, ", "))
}

// ConflictError says that somebody else owns fields that are to be written. It is
// issue.ErrForeign.
type ConflictError struct {
	Manager string   // who owns them
	Fields  []string // data.tls.crt
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s belongs to the field manager %q, which has changed it", strings.Join(e.Fields, ", "), e.Manager)
}

// Unwrap is issue.ErrForeign.
func (e *ConflictError) Unwrap() error { return issue.ErrForeign }

// conflict reads the server's own complaint: conflict with "kubectl-edit" using v1.
func (p *Problem) conflict() *ConflictError {
	e := &ConflictError{Manager: "another"}
	for _, c := range p.causes {
		if c.Type != "FieldManagerConflict" {
			continue
		}
		if parts := strings.SplitN(c.Message, `"`, 3); len(parts) == 3 {
			e.Manager = parts[1]
		}
		e.Fields = append(e.Fields, strings.TrimPrefix(c.Field, "."))
	}
	slices.Sort(e.Fields)
	return e
}

func names[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" (+%d)", len(names)-most)
	}
	return strings.Join(names, ", ")
}
