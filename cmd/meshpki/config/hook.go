package config

import (
	"fmt"
	"strings"
)

func (s *Step) check(c cursor) *Error {
	if _, ok := c.n.find("env"); ok && s.Exec == nil && s.Systemctl == nil {
		return c.wrong("env", "only exec and systemctl start a program that could be given an environment")
	}
	if s.Timeout != "" && s.HTTP != nil && s.HTTP.Timeout != "" {
		return c.wrong("timeout", "http has a timeout of its own here: one of the two is expected")
	}
	if _, ok := c.n.find("exec"); !ok {
		return nil
	}
	if len(s.Exec) == 0 {
		return c.wrong("exec", "a command without a word: its program is expected first")
	}
	program := s.Exec[0]
	switch {
	case len(s.Exec) == 1 && strings.Contains(program, " "):
		err := c.wrong("exec", "%s is one word with spaces in it: each word of a command is an item of its own", quote(program))
		err.Hint = "for example: [" + strings.Join(strings.Fields(program), ", ") + "]"
		return err
	case strings.Contains(program, "/") && !strings.HasPrefix(program, "/"):
		return c.wrong("exec", "%s is neither an absolute path nor a bare name", quote(program))
	}
	return nil
}

// afters refuses a step that waits for what is no place of its service.
func (r *reader) afters(i int, s *Service) *Error {
	for j := range s.Hook {
		step := &s.Hook[j]
		for k, place := range step.After {
			if _, ok := s.OutputAt(place); !ok {
				problem := fmt.Sprintf("%s is none of the places under outputs", quote(place))
				return r.m.Wrong(step.Place, fmt.Sprintf("services[%d].hook[%d].after[%d]", i, j, k), problem)
			}
		}
	}
	return nil
}

// OutputAt finds the index of an output by its place, however that is spelt:
// file:/etc/tls/ is /etc/tls.
func (s *Service) OutputAt(place string) (int, bool) {
	for i := range s.Outputs {
		if placeOf(s.Outputs[i].To) == placeOf(place) {
			return i, true
		}
	}
	return 0, false
}
