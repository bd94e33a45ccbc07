package awspca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/meshpki/meshpki/ca"
)

// kind is what an error of the service's means for us.
type kind int

const (
	failed    kind = iota // it will not pass by waiting
	throttle              // asked too often; nothing was done
	away                  // it may have been done or not, and may pass
	notYet                // it is under way
	missing               // there is no such thing
	forbidden             // a right is missing
	refused               // it will never do
	already               // it was done before
	locked                // the authority's state does not allow it
)

// kinds are the service's errors by their names.
var kinds = map[string]kind{
	"ThrottlingException": throttle, "Throttling": throttle, "ThrottledException": throttle, "TooManyRequestsException": throttle,
	"RequestLimitExceeded": throttle, "RequestThrottled": throttle, "RequestThrottledException": throttle, "SlowDown": throttle,
	"InternalFailure": away, "InternalServerError": away, "ServiceUnavailable": away, "ServiceUnavailableException": away, "RequestTimeout": away,
	"RequestTimeoutException":    away,
	"RequestInProgressException": notYet,
	"ResourceNotFoundException":  missing,
	"AccessDeniedException":      forbidden, "AccessDenied": forbidden, "UnauthorizedOperation": forbidden,
	"RequestAlreadyProcessedException": already,
	"InvalidStateException":            locked,
	// A quota of certificates or authorities is not a rate: it is no use to try again.
	"LimitExceededException":        refused,
	"InvalidArgsException":          refused,
	"InvalidArnException":           refused,
	"InvalidRequestException":       refused,
	"InvalidPolicyException":        refused,
	"MalformedCSRException":         refused,
	"MalformedCertificateException": refused,
	"CertificateMismatchException":  refused,
	"ValidationException":           refused,
	"RequestFailedException":        refused,
}

// kindOf tells what an error means.
func kindOf(err error) kind {
	if _, ok := uncredited(err); ok {
		return failed // whatever another service has answered
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if k, known := kinds[api.ErrorCode()]; known {
			return k
		}
	}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		switch status := r.HTTPStatusCode(); {
		case status == http.StatusTooManyRequests:
			return throttle
		case status >= 500:
			return away
		case status > 0:
			return failed
		}
	}
	if _, ok := errors.AsType[smithy.APIError](err); ok {
		return failed
	}
	if err != nil && (errors.Is(err, errSilent) || unreached(err)) {
		return away
	}
	return failed
}

// uncredited tells a request that was never made, for want of credentials, and says
// why: STS, SSO and others that hand them out have errors of the same names.
func uncredited(err error) (why string, ok bool) {
	if err == nil {
		return "", false
	}
	_, why, ok = strings.Cut(err.Error(), "get credentials: ")
	if !ok {
		_, why, ok = strings.Cut(err.Error(), "get identity: ")
	}
	return strings.Join(strings.Fields(why), " "), ok
}

// unreached tells a request whose answer did not come, or not whole.
func unreached(err error) bool {
	_, unsent := errors.AsType[*smithyhttp.RequestSendError](err)
	_, unread := errors.AsType[*smithy.DeserializationError](err)
	return unsent || unread
}

// said is what the service says of an error, without the SDK's own words around it.
func said(err error) string {
	if why, ok := uncredited(err); ok {
		return "there are no AWS credentials that do: environment variables, a profile, SSO, a web identity, or the role of a machine or a pod would give them; the last one tried says: " + why
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code := strings.TrimSuffix(api.ErrorCode(), "Exception")
		if m := strings.TrimSuffix(api.ErrorMessage(), "."); m != "" {
			return m + " (" + code + ")"
		}
		return code
	}
	if sent, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return "it cannot be reached: " + sent.Err.Error()
	}
	text := err.Error()
	if o, ok := errors.AsType[*smithy.OperationError](err); ok {
		text = o.Err.Error()
	}
	return text
}

// remedies are what helps against errors that say too little of it.
//
//nolint:gosec // these are names of errors
var remedies = map[string]string{
	"ResourceNotFoundException":    "is the ARN the right one, with its region and its account?",
	"InvalidSignatureException":    "the secret key is not that of the access key, or the region is another, or this machine's clock is wrong",
	"UnrecognizedClientException":  "the access key is not known in this partition of AWS, or was taken away",
	"ExpiredTokenException":        "these credentials have ended: log in again (aws sso login), or have them given out anew",
	"IncompleteSignatureException": "the credentials are damaged",
}

// remedy is what helps against an error, after what is said of it; "" where nothing is known.
func remedy(err error) string {
	if _, ok := uncredited(err); ok {
		return ""
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || remedies[api.ErrorCode()] == "" {
		return ""
	}
	return "; " + remedies[api.ErrorCode()]
}

// forbiddenError is the refusal for want of a right.
type forbiddenError struct{ *ca.Refusal }

func (e *forbiddenError) Unwrap() error { return e.Refusal }

// told is an error of the service's as it is told.
func (a *Authority) told(operation, template string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if errors.Is(err, ca.ErrAway) {
		return err
	}
	switch kindOf(err) {
	case throttle:
		return throttledError()
	case away, notYet:
		return fmt.Errorf("%s at AWS Private CA: %s: %w", operation, said(err), ca.ErrAway)
	case forbidden:
		return &forbiddenError{&ca.Refusal{What: operation + " at AWS Private CA", Why: said(err) + "; this statement of a policy grants it: " + a.statement(operation, template)}}
	case locked:
		return &ca.Refusal{What: operation + " at AWS Private CA", Why: said(err) + "; " + stateRemedy(err, a.arn.text)}
	case refused, already:
		return &ca.Refusal{What: operation + " at AWS Private CA", Why: said(err)}
	}
	return fmt.Errorf("%s at AWS Private CA: %s%s", operation, said(err), remedy(err))
}

// stateRemedy says what helps against a state.
func stateRemedy(err error, arn string) string {
	switch text := err.Error(); {
	case strings.Contains(text, "DISABLED"):
		return "aws acm-pca update-certificate-authority --status ACTIVE --certificate-authority-arn " + arn + " enables it"
	case strings.Contains(text, "PENDING_CERTIFICATE"):
		return "its own certificate has to be installed first"
	}
	return "an authority signs while it is ACTIVE"
}

// statement is the IAM statement that grants an operation, with the condition that a
// template needs.
func (a *Authority) statement(operation, template string) string {
	type statement struct {
		Effect    string
		Action    string
		Resource  string
		Condition map[string]map[string]string `json:",omitempty"`
	}
	s := statement{Effect: "Allow", Action: "acm-pca:" + operation, Resource: a.arn.text}
	if template != "" {
		s.Condition = map[string]map[string]string{"StringEquals": {"acm-pca:TemplateArn": a.arn.template(template)}}
	}
	data, _ := json.Marshal(s) // texts alone: it does not fail
	return string(data)
}
