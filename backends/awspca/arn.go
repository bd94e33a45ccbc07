package awspca

import (
	"strings"

	"github.com/meshpki/meshpki/backends"
)

// scheme begins a reference to an authority here.
const scheme = "awspca:"

// arn is the name of a certificate authority in AWS Private CA.
type arn struct {
	text, partition, region, account string
}

const maxARN = 200

// parseARN reads an authority's ARN. What is none is a *backends.RefError.
func parseARN(text string) (arn, error) {
	refuse := func(problem string) (arn, error) {
		return arn{}, &backends.RefError{Ref: scheme + text, Problem: problem}
	}
	const like = "arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/1f2e3d4c-… would be"
	parts := strings.Split(text, ":")
	if len(text) > maxARN || len(parts) != 6 || parts[0] != "arn" {
		return refuse("is no ARN of a certificate authority: " + like)
	}
	a := arn{text: text, partition: parts[1], region: parts[3], account: parts[4]}
	id, ok := strings.CutPrefix(parts[5], "certificate-authority/")
	switch {
	case !word(a.partition) || !strings.HasPrefix(a.partition, "aws"):
		return refuse("is of no partition of AWS: aws, aws-us-gov, aws-cn")
	case parts[2] != "acm-pca":
		return refuse("is no ARN of AWS Private CA: " + like)
	case !word(a.region):
		return refuse("names no region: eu-central-1")
	case len(a.account) != 12 || strings.Trim(a.account, "0123456789") != "":
		return refuse("names no account: twelve digits")
	case !ok || !word(id):
		return refuse("is no ARN of a certificate authority: " + like)
	}
	return a, nil
}

// word tells whether a part of an ARN is of letters, digits and '-' alone.
func word(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

// template is the ARN of a template, which is of the authority's own partition.
func (a arn) template(name string) string {
	return "arn:" + a.partition + ":acm-pca:::template/" + name + "/V1"
}
