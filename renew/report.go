package renew

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Report is the record of a pass that went over everything under care: what status
// goes by, and a dead man's switch.
type Report struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// Listed is how many services the manifest named, Targets how many were gone over.
	Listed  int `json:"listed"`
	Targets int `json:"targets"`
	// How they stood afterwards.
	Standings map[Standing]int `json:"standings"`
	// Failing names those that failed or are pending, at most some of them.
	Failing []string `json:"failing,omitempty"`
	// Problem is what keeps the pass from being a good one though no target has failed:
	// the manifest that a daemon goes by cannot be read any more.
	Problem string `json:"problem,omitempty"`
	// Good is the end of the last pass after which nothing failed or was pending.
	Good time.Time `json:"good,omitzero"`
}

// reportName is what the record of the last pass is kept under; targets have a dot
// in theirs.
const reportName = "pass"

// mostFailing bounds the names that a report carries.
const mostFailing = 100

// Count takes a result into the report. It is not safe for concurrent use.
func (r *Report) Count(res Result) {
	r.Targets++
	if r.Standings == nil {
		r.Standings = map[Standing]int{}
	}
	r.Standings[res.Standing]++
	if !res.Standing.Good() && len(r.Failing) < mostFailing {
		r.Failing = append(r.Failing, res.Name)
	}
}

// Bad is how many targets failed or are pending.
func (r *Report) Bad() int { return r.Standings[StandsFailed] + r.Standings[StandsPending] }

// Save records the pass, durably, in place of the one before.
func (r *Report) Save(ctx context.Context, m Memory) error {
	r.Began, r.Ended = r.Began.UTC().Truncate(time.Second), r.Ended.UTC().Truncate(time.Second)
	slices.Sort(r.Failing)
	undone := r.Bad() + r.Standings[StandsDue] + r.Standings[StandsDrifted] // of a daemon that has only looked
	if undone == 0 && r.Problem == "" {
		r.Good = r.Ended
	} else if last, err := LastReport(ctx, m); err == nil {
		r.Good = last.Good
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return m.Write(ctx, reportName, append(data, '\n'))
}

// LastReport reads the record of the last pass; fs.ErrNotExist where there is none.
func LastReport(ctx context.Context, m Memory) (*Report, error) {
	data, err := m.Read(ctx, reportName)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	err = decodeWhole(data, r)
	if err == nil && r.Ended.IsZero() {
		err = errors.New("it has no end")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the record of the last pass is damaged: %w", where(m, reportName), err)
	}
	return r, nil
}
