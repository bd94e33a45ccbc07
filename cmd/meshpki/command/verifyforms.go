package command

import (
	"fmt"
	"io"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

// verifyForms are the forms of verify's answer.
var verifyForms = []string{"text", "json", "junit", "sarif", "github", "nagios"}

// conclude gives the answer in its form, tells what failed, and gives the error that
// stands for both: a source that could not be read comes before an answer that is no.
func (c *call) conclude(form string, doc ui.Verification, failed []error, no bool) error {
	write := map[string]func(io.Writer) error{"junit": doc.JUnit, "sarif": doc.SARIF, "github": doc.GitHub}[form]
	switch {
	case form == "nagios":
		verdict := pluginVerdict(doc, no)
		if _, err := io.WriteString(c.env.Stdout, doc.Nagios(nagiosStates[nagiosCode(verdict)])); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		if len(failed) > 0 {
			tell(c.env, c.allOf(failed))
		}
		return verdict
	case write != nil:
		if err := write(c.env.Stdout); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	case len(doc.Results) > 0 || form == "json":
		if err := c.say(doc); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return c.allOf(failed)
	}
	if no {
		return errNo
	}
	return nil
}

// pluginVerdict is the answer as a plugin gives it: what is not trusted comes before
// what could not be read.
func pluginVerdict(doc ui.Verification, no bool) error {
	switch {
	case no:
		return errNo
	case len(doc.Unread) > 0:
		return errUnknown
	}
	for _, r := range doc.Results {
		for _, f := range r.Findings {
			if f.Severity == inspect.SeverityWarning {
				return errWarning
			}
		}
	}
	return nil
}
