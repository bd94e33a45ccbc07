package ui

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"

	"github.com/meshpki/meshpki/inspect"
)

// SARIF 2.1.0 (OASIS), as GitHub's code scanning and others read it.

// rulesPage is where each rule is explained under its id.
const rulesPage = "https://github.com/meshpki/meshpki/blob/main/docs/rules.md"

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string        `json:"id"`
	ShortDescription sarifText     `json:"shortDescription"`
	Help             sarifText     `json:"help"`
	HelpURI          string        `json:"helpUri"`
	Default          *sarifDefault `json:"defaultConfiguration,omitempty"`
}

type sarifDefault struct {
	Level string `json:"level"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Level        string            `json:"level"`
	Message      sarifText         `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints"`
}

type sarifLocation struct {
	Physical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region struct {
			StartLine int `json:"startLine"`
		} `json:"region"`
	} `json:"physicalLocation"`
}

// SARIF writes one result a finding; what is trusted and without findings has none.
func (d Verification) SARIF(w io.Writer) error {
	run := sarifRun{Results: []sarifResult{}, Invocations: []sarifInvocation{{Successful: len(d.Unread) == 0}}}
	run.Tool.Driver = sarifDriver{Name: "meshpki", InformationURI: "https://github.com/meshpki/meshpki"}
	place := map[string]int{}
	for i, r := range inspect.Rules() {
		place[r.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(r))
	}
	for _, r := range d.Results {
		for _, f := range r.Findings {
			at, known := place[f.Rule]
			if !known {
				at = len(run.Tool.Driver.Rules)
				place[f.Rule] = at
				run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(inspect.Rule{ID: f.Rule, Severity: f.Severity, Citation: f.Citation, Title: f.Rule}))
			}
			run.Results = append(run.Results, sarifResult{RuleID: f.Rule, RuleIndex: at, Level: sarifLevel(f.Severity),
				Message: sarifText{Clean(r.Subject) + purpose(r.Asked) + ": " + sentence(f)}, Locations: sarifAt(r.Source),
				Fingerprints: map[string]string{"certificate/v1": r.Fingerprint + ":" + f.Rule}})
		}
	}
	for _, u := range d.Unread {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications,
			sarifNotification{"error", sarifText{Clean(u.Problem)}, sarifAt(u.Source)})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

func sarifRuleOf(r inspect.Rule) sarifRule {
	return sarifRule{ID: r.ID, ShortDescription: sarifText{r.Title}, Help: sarifText{r.Citation}, HelpURI: rulesPage + "#" + r.ID,
		Default: &sarifDefault{sarifLevel(r.Severity)}}
}

func sarifLevel(s inspect.Severity) string {
	switch s {
	case inspect.SeverityError:
		return "error"
	case inspect.SeverityWarning:
		return "warning"
	}
	return "note"
}

// sarifAt is a place: a path as a relative reference, or a server's URL. A certificate
// has no line of its own in SARIF's sense, so that the file's first is named.
func sarifAt(source string) []sarifLocation {
	var at sarifLocation
	switch {
	case strings.Contains(source, "://"):
		at.Physical.Artifact.URI = (&url.URL{Path: Clean(source)}).EscapedPath()
		if u, err := url.Parse(source); err == nil && u.User == nil {
			at.Physical.Artifact.URI = u.String()
		}
	case source == "-":
		at.Physical.Artifact.URI = "stdin"
	default:
		// "./" keeps a colon in a name from looking like a scheme (RFC 3986, Section 4.2).
		at.Physical.Artifact.URI = (&url.URL{Path: strings.ReplaceAll(source, `\`, "/")}).String()
	}
	at.Physical.Region.StartLine = 1
	return []sarifLocation{at}
}
