package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

func inspectCommand() *command {
	return &command{
		name:    "inspect",
		summary: "say what certificates, requests, CRLs and keys are",
		args:    "FILE…",
		about: "Reads every certificate, certificate request, CRL and private key in each file, PEM or DER, several in " +
			"one file too, and says what it is: names, dates with how far away they are, uses, keys, what is wrong with it. " +
			"Of a private key only public facts are shown. - is standard input.",
		examples: []example{
			{"the files of a service", "meshpki inspect pki/services/default/payment/tls.crt"},
			{"for a program", "meshpki inspect pki/services/default/payment/tls.crt --json"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage),
		flags: common(),
		run:   runInspect,
	}
}

func runInspect(_ context.Context, c *call) error {
	sources, err := c.arguments(1, -1, "a FILE, or - for standard input")
	if err != nil {
		return err
	}
	doc := ui.Inspection{Now: c.env.Now()}
	var failed []error
	for _, source := range sources {
		objects, err := c.objects(source)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		doc.Reports = append(doc.Reports, inspect.DescribeAll(source, objects, c.env.Now())...)
		for _, o := range objects {
			if o.Err != nil {
				failed = append(failed, unreadable(source, o))
			}
		}
	}
	if len(doc.Reports) > 0 || c.wantsJSON() {
		if err := c.say(doc); err != nil {
			return err
		}
	}
	return c.allOf(failed)
}

// unreadable is the error of an object that was found and could not be read.
func unreadable(source string, o inspect.Object) error {
	at := source
	if o.Line > 0 {
		at = fmt.Sprintf("%s:%d", source, o.Line)
	}
	return fmt.Errorf("%s: %w", at, o.Err)
}

// objects reads a source and finds what is in it.
func (c *call) objects(source string) ([]inspect.Object, error) {
	data, err := c.readSource(source)
	if err != nil {
		return nil, err
	}
	objects, err := inspect.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return objects, nil
}

// allOf tells every error but the last, and gives the last to be told: each
// source has its own sentence.
func (c *call) allOf(failed []error) error {
	if len(failed) == 0 {
		return nil
	}
	for _, err := range failed[:len(failed)-1] {
		tell(c.env, err)
	}
	return failed[len(failed)-1]
}

func (c *call) wantsJSON() bool {
	f, err := c.format()
	return err == nil && f == "json"
}

// errNoCertificate is a source in which there is no certificate to be judged.
var errNoCertificate = errors.New("there is no certificate in it")
