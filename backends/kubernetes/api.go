package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshpki/meshpki/internal/guard"
)

const (
	// callTime bounds one try of a call.
	callTime = 10 * time.Second
	// manager is who we are to server-side apply.
	manager = "meshpki"
	// mostAnswer bounds what an API server may answer.
	mostAnswer = 32 << 20
	// keptAnswer is how long an answer may have been for its buffer to be used again.
	keptAnswer = 64 << 10
	// tries is how often a call is tried that may be tried again.
	tries = 4
)

// Media types of what is sent.
const (
	asJSON  = "application/json"
	asApply = "application/apply-patch+yaml" // JSON is YAML
	asMerge = "application/merge-patch+json"
)

// client speaks to one API server. It is safe for concurrent use.
type client struct {
	http      *http.Client
	base      *url.URL
	namespace string // of the context or of the pod; "" where neither says

	// Of many calls that begin at once the first goes alone: HTTP/2 has them all share its
	// connection, where each would open one of its own.
	alone  chan struct{} // has room for one
	opened atomic.Bool   // the first has been made

	buffers sync.Pool // of *bytes.Buffer, for answers
}

// newClient speaks to the API server at an address.
func newClient(h *http.Client, base *url.URL, namespace string) *client {
	return &client{http: h, base: base, namespace: namespace, alone: make(chan struct{}, 1), buffers: sync.Pool{New: func() any { return &bytes.Buffer{} }}}
}

// thing is what a call is about.
type thing struct {
	group, version string // "" is the core group
	resource       string // secrets
	kind           string // Secret
	namespace      string // "" of what belongs to the whole cluster
	name           string // "" of all
	sub            string // scale
	at             string // the path of what is no object
}

// String is the thing as people call it.
func (t thing) String() string {
	s := t.kind
	switch {
	case t.at != "":
		return s
	case t.name == "" && t.namespace != "":
		return s + "s of namespace " + t.namespace
	case t.name == "":
		return s + "s"
	case t.namespace != "":
		return s + " " + t.namespace + "/" + t.name
	}
	return s + " " + t.name
}

// path is where the API server has the thing; of a thing to be created, where all are.
func (t thing) path(create bool) string {
	if t.at != "" {
		return t.at
	}
	p := path.Join("api", t.version)
	if t.group != "" {
		p = path.Join("apis", t.group, t.version)
	}
	if t.namespace != "" {
		p = path.Join(p, "namespaces", t.namespace)
	}
	p = path.Join(p, t.resource)
	if t.name != "" && !create {
		p = path.Join(p, t.name, t.sub)
	}
	return p
}

// call is one request.
type call struct {
	method string
	about  thing
	query  url.Values
	media  string
	body   any
}

// verb is what RBAC calls it.
func (c call) verb() string {
	switch {
	case c.method == http.MethodGet && c.about.name == "" && c.about.at == "":
		return "list"
	case c.method == http.MethodGet:
		return "get"
	case c.method == http.MethodPost:
		return "create"
	case c.method == http.MethodPut:
		return "update"
	case c.method == http.MethodPatch:
		return "patch"
	}
	return "delete"
}

// do makes a call, and decodes the answer into what is not nil. What was certainly
// not done is tried again: refused for want of capacity, or a read. The error is a
// *Problem, or that of ctx.
func (c *client) do(ctx context.Context, r call, into any) error {
	body, err := encode(r.body)
	if err != nil {
		return err
	}
	renewed := false
	for try := 1; ; try++ {
		err = c.try(ctx, r, body, into)
		p, ok := errors.AsType[*Problem](err)
		switch {
		case err == nil || !ok || ctx.Err() != nil:
			return err
		case p.Code == http.StatusUnauthorized && !renewed:
			renewed = true // a token that has just been rotated is read anew
			continue
		case try == tries || !p.again(r):
			return err
		}
		wait := p.After
		if wait == 0 {
			wait = 100 * time.Millisecond << try
		}
		if wait > callTime {
			return err
		}
		if err := guard.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func encode(body any) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	return json.Marshal(body)
}

// try makes a call once.
func (c *client) try(ctx context.Context, r call, body []byte, into any) error {
	late, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	at := c.base.JoinPath(r.about.path(r.method == http.MethodPost && r.about.sub == ""))
	at.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(late, r.method, at.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", asJSON)
	if _, ok := into.(protoReader); ok {
		req.Header.Set("Accept", asEither)
	}
	if body != nil {
		req.Header.Set("Content-Type", r.media)
	}
	answer, err := c.send(req)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &Problem{verb: r.verb(), about: r.about, Message: c.unreached(err)}
	}
	defer answer.Body.Close()
	buffer, _ := c.buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= keptAnswer {
			c.buffers.Put(buffer)
		}
	}()
	buffer.Reset()
	if _, err := buffer.ReadFrom(io.LimitReader(answer.Body, mostAnswer)); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &Problem{verb: r.verb(), about: r.about, Message: "the answer broke off: " + c.unreached(err)}
	}
	data := buffer.Bytes() // what is made of it keeps nothing of it
	if answer.StatusCode/100 != 2 {
		return problemOf(r, answer, data)
	}
	if into != nil {
		if err := decode(answer, data, into); err != nil {
			return &Problem{verb: r.verb(), about: r.about, Message: "the answer is no object of this kind"}
		}
	}
	return nil
}

// send sends a request, the first one alone.
func (c *client) send(req *http.Request) (*http.Response, error) {
	if c.opened.Load() {
		return c.http.Do(req)
	}
	select {
	case c.alone <- struct{}{}:
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if c.opened.Load() {
		<-c.alone
		return c.http.Do(req)
	}
	defer func() {
		c.opened.Store(true) // also where there was no answer: nobody is to wait again
		<-c.alone
	}()
	return c.http.Do(req)
}

// protoReader is what can be read from either form.
type protoReader interface{ readProto(answer []byte) error }

// decode reads the body of an answer in the form that it has.
func decode(answer *http.Response, body []byte, into any) error {
	if !isProto(answer.Header.Get("Content-Type")) {
		return json.Unmarshal(body, into)
	}
	if r, ok := into.(protoReader); ok {
		return r.readProto(body)
	}
	return errWire
}

// unreached says why there was no answer, without the URL: it is named already.
func (c *client) unreached(err error) string {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("%s does not answer within %s", c.base.Host, callTime)
	}
	return c.base.Host + ": " + err.Error()
}

// retryAfter reads the header of that name, which is in seconds.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
