package command

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// lintSets judges the files of each directory that was walked together, and those of
// each manifest: as the CA of a mesh where they are one, or as a service's.
func (c *call) lintSets(list []source) (sets []inspected) {
	const (
		many = 200     // files of a directory that is a set
		most = 1 << 20 // bytes of one of its files
	)
	byDir := map[string][]string{}
	for _, s := range list {
		switch {
		case s.walked:
			dir := filepath.Dir(s.name)
			byDir[dir] = append(byDir[dir], s.name)
		case slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(s.name)):
			if data, err := c.readSource(s.name); err == nil {
				if files, err := layout.Unpack(data); err == nil {
					sets = append(sets, c.lintSet(s.name, "", files)...)
				}
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		if len(byDir[dir]) > many {
			continue
		}
		files := issue.Files{}
		for _, name := range byDir[dir] {
			if data, err := c.readSource(name); err == nil && len(data) <= most {
				files[filepath.Base(name)] = issue.File{Data: data}
			}
		}
		full := dir
		if abs, err := filepath.Abs(dir); err == nil {
			full = abs
		}
		sets = append(sets, c.lintSet(dir, filepath.Base(full), files)...)
	}
	return sets
}

// lintSet judges one set; nothing is said of files that are none.
func (c *call) lintSet(source, name string, files issue.Files) []inspected {
	now := c.env.Now()
	r := inspect.Report{Source: source, Index: 1, Kind: inspect.KindSet, Findings: []inspect.Finding{}, Consumers: layout.Judge(name, files, now)}
	service := layout.JudgeService(files, now)
	if r.Findings = append(r.Findings, service...); len(r.Consumers) == 0 && service == nil {
		return nil
	}
	found := inspected{reports: []inspect.Report{r}}
	// What one mesh refuses is no defect; what nobody loads is.
	found.bad = hasError(r) || len(r.Consumers) > 0 && !slices.ContainsFunc(r.Consumers, func(v inspect.ConsumerVerdict) bool { return v.Loads })
	if c.inElements() {
		found.encode()
	}
	return []inspected{found}
}
