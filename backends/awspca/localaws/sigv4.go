package localaws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostSkew is how far the time that a request was signed at may lie from ours.
const mostSkew = 15 * time.Minute

const (
	algorithm  = "AWS4-HMAC-SHA256"
	service    = "acm-pca"
	dateLayout = "20060102T150405Z"
)

// authenticate verifies the signature of a request, Signature Version 4, and gives
// the key that it was made with.
func (s *Server) authenticate(r *http.Request, body []byte) (AccessKey, *Fault) {
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
	if !ok {
		return AccessKey{}, &Fault{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token"}
	}
	parts := map[string]string{}
	for p := range strings.SplitSeq(auth, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		parts[name] = value
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return AccessKey{}, &Fault{Code: "IncompleteSignatureException", Message: "Credential is not <key>/<date>/<region>/<service>/aws4_request"}
	}
	key, ok := s.key(scope[0])
	if !ok || r.Header.Get("X-Amz-Security-Token") != key.Session {
		return AccessKey{}, &Fault{Code: "UnrecognizedClientException", Message: "The security token included in the request is invalid."}
	}
	if !key.Expires.IsZero() && !s.clock().Before(key.Expires) {
		return AccessKey{}, &Fault{Code: "ExpiredTokenException", Message: "The security token included in the request is expired"}
	}
	if scope[2] != s.region() || scope[3] != service {
		return AccessKey{}, invalidSignature("Credential should be scoped to a valid region and service: " + s.region() + ", " + service)
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(dateLayout, date)
	if err != nil || !strings.HasPrefix(date, scope[1]) {
		return AccessKey{}, &Fault{Code: "IncompleteSignatureException", Message: "X-Amz-Date is missing, or not that of the credential"}
	}
	if at.Sub(s.clock()).Abs() > mostSkew {
		return AccessKey{}, invalidSignature("Signature expired: " + date + " is not within 15 min. of the current time")
	}
	signed := strings.Split(parts["SignedHeaders"], ";")
	for _, need := range []string{"host", "x-amz-date", "x-amz-target"} {
		if !slices.Contains(signed, need) {
			return AccessKey{}, invalidSignature("'" + need + "' must be a signed header")
		}
	}
	text := strings.Join([]string{algorithm, date, strings.Join(scope[1:], "/"), hexSum(canonical(r, signed, body))}, "\n")
	want := hmacSum(signingKey(key.Secret, scope[1], scope[2], scope[3]), text)
	if given, err := hex.DecodeString(parts["Signature"]); err != nil || !hmac.Equal(given, want) {
		return AccessKey{}, invalidSignature("The request signature we calculated does not match the signature you provided.")
	}
	return key, nil
}

func invalidSignature(why string) *Fault {
	return &Fault{Code: "InvalidSignatureException", Message: why}
}

func (s *Server) key(id string) (AccessKey, bool) {
	keys := s.Keys
	if len(keys) == 0 {
		keys = []AccessKey{ExampleKey()}
	}
	i := slices.IndexFunc(keys, func(k AccessKey) bool { return k.ID == id })
	if i < 0 {
		return AccessKey{}, false
	}
	return keys[i], true
}

// canonical is the request in the one form that is signed.
func canonical(r *http.Request, signed []string, body []byte) string {
	var b strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	b.WriteString(r.Method + "\n" + path + "\n" + r.URL.Query().Encode() + "\n")
	for _, name := range signed {
		value := strings.Join(strings.Fields(strings.Join(r.Header.Values(name), ",")), " ")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = orElse(value, strconv.Itoa(len(body)))
		}
		b.WriteString(name + ":" + value + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + hexSum(string(body)))
	return b.String()
}

func signingKey(secret, date, region, service string) []byte {
	k := hmacSum([]byte("AWS4"+secret), date)
	k = hmacSum(k, region)
	k = hmacSum(k, service)
	return hmacSum(k, "aws4_request")
}

func hmacSum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
