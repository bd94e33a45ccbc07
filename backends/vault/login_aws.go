package vault

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
)

// callerIdentity is the body of a login with an AWS identity: a signed request to
// STS that Vault sends on, and whose answer tells it who asks. The credentials are
// found where every AWS tool looks for them, and do not leave the program.
func (s *session) callerIdentity(ctx context.Context, c *client) (map[string]any, error) {
	var with []func(*config.LoadOptions) error
	if s.auth.Region != "" {
		with = append(with, config.WithRegion(s.auth.Region))
	}
	found, err := config.LoadDefaultConfig(ctx, with...)
	if err != nil {
		return nil, fmt.Errorf("the AWS identity: %s", clean(err.Error()))
	}
	credentials, err := found.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("the AWS identity: %s", clean(err.Error()))
	}
	// Without a region it is the global endpoint, which signs as us-east-1.
	url, region := "https://sts.amazonaws.com/", "us-east-1"
	if found.Region != "" {
		url, region = "https://sts."+found.Region+".amazonaws.com/", found.Region
		if strings.HasPrefix(region, "cn-") {
			url = "https://sts." + region + ".amazonaws.com.cn/" // a partition of its own
		}
	}
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the AWS identity: %q is no region", region)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	request.Header.Set("Content-Length", strconv.Itoa(len(body)))
	if s.auth.ServerID != "" {
		request.Header.Set("X-Vault-AWS-IAM-Server-ID", s.auth.ServerID)
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "sts", region, c.now()); err != nil {
		return nil, fmt.Errorf("the AWS identity: sign: %w", err)
	}
	headers, err := json.Marshal(request.Header)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"role":                    s.auth.Role,
		"iam_http_request_method": http.MethodPost,
		"iam_request_url":         base64.StdEncoding.EncodeToString([]byte(url)),
		"iam_request_body":        base64.StdEncoding.EncodeToString([]byte(body)),
		"iam_request_headers":     base64.StdEncoding.EncodeToString(headers),
	}, nil
}
