package awspca

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/guard"
)

// How often the service may be asked, in a second, where nobody has had it raised.
const (
	usualIssue  = 25
	usualFetch  = 75
	usualOthers = 20
	usualCSR    = 10
)

// client is the way to the service: the SDK without its retries, which would multiply
// what is throttled, behind the paces of this account.
type client struct {
	api                        *acmpca.Client
	issue, fetch, others, csrs *pace
}

// connect finds region, credentials and endpoint as every AWS tool does. It asks
// nobody yet but those that credentials come from.
func connect(ctx context.Context, region string, perSecond float64, transport http.RoundTripper) (*client, error) {
	options := []func(*config.LoadOptions) error{config.WithRegion(region),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} })}
	if transport != nil {
		options = append(options, config.WithHTTPClient(&http.Client{Transport: transport}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if missing, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return nil, fmt.Errorf("read the AWS configuration: there is no profile %q in it, which AWS_PROFILE names", missing.Profile)
	}
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	c := &client{api: acmpca.NewFromConfig(cfg), issue: newPace(perSecond), fetch: newPace(usualFetch), others: newPace(usualOthers), csrs: newPace(usualCSR)}
	if perSecond > usualIssue || perSecond == 0 {
		c.fetch = newPace(3 * perSecond)
	}
	return c, nil
}

const (
	// tries is how often a request is made that may be repeated, where the service
	// cannot be reached or fails.
	tries = 3
	// again is the wait before it is repeated, longer each time.
	again = 200 * time.Millisecond
)

// ask makes a request that changes nothing, or nothing more when it is repeated. What
// is throttled waits for its next turn until the context ends.
func ask[In, Out any](ctx context.Context, p *pace, do func(context.Context, *In, ...func(*acmpca.Options)) (*Out, error), in *In) (*Out, error) {
	for n := 1; ; {
		epoch, err := p.wait(ctx)
		if err != nil {
			return nil, err
		}
		out, err := once(ctx, do, in)
		if ended := context.Cause(ctx); err != nil && ended != nil {
			return nil, ended
		}
		switch {
		case err == nil:
			p.served()
			return out, nil
		case kindOf(err) == throttle:
			p.throttled(epoch)
		case kindOf(err) == away && n < tries:
			if err := guard.Sleep(ctx, again<<n); err != nil {
				return nil, err
			}
			n++
		default:
			return nil, err
		}
	}
}

// answerWithin is how long one request may take.
const answerWithin = 30 * time.Second

// errSilent says that a request was not answered in time.
var errSilent = errors.New("no answer in 30 seconds")

// once makes one request.
func once[In, Out any](ctx context.Context, do func(context.Context, *In, ...func(*acmpca.Options)) (*Out, error), in *In) (*Out, error) {
	limited, cancel := context.WithTimeoutCause(ctx, answerWithin, errSilent)
	defer cancel()
	out, err := do(limited, in)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return out, errSilent
	}
	return out, err
}

// within limits how long something may take; what takes longer is away.
func within[T any](ctx context.Context, d time.Duration, do func(context.Context) (T, error)) (T, error) {
	late := fmt.Errorf("AWS Private CA has not answered within %s: %w", d, ca.ErrAway)
	limited, cancel := context.WithTimeoutCause(ctx, d, late)
	defer cancel()
	out, err := do(limited)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(limited), late) {
		return out, late
	}
	return out, err
}
