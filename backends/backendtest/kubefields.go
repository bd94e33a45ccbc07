package backendtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Objects are JSON as it is decoded: maps of any.

// within is a map inside an object, which is made where there is none.
func within(object map[string]any, name string) map[string]any {
	if object == nil {
		return map[string]any{}
	}
	m, ok := object[name].(map[string]any)
	if !ok {
		m = map[string]any{}
		object[name] = m
	}
	return m
}

// copyOf shares nothing with the object. What came as JSON goes as JSON.
func copyOf(object map[string]any) map[string]any {
	out := map[string]any{}
	data, err := json.Marshal(object)
	if err == nil && object != nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		out["broken"] = err.Error()
	}
	return out
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }

// mergeInto is a JSON merge patch (RFC 7396, Section 2).
func mergeInto(object, patch map[string]any) {
	for name, value := range patch {
		switch inner, ok := value.(map[string]any); {
		case value == nil:
			delete(object, name)
		case ok:
			mergeInto(within(object, name), inner)
		default:
			object[name] = value
		}
	}
}

// fieldsOf are the fields that have owners, with their values: each value of a map
// that anybody may add to, and everything else as one.
func fieldsOf(object map[string]any) map[string]any {
	out := map[string]any{}
	put := func(prefix string, m map[string]any) {
		for name, value := range m {
			out[prefix+"\x00"+name] = value
		}
	}
	for name, value := range object {
		switch inner, ok := value.(map[string]any); {
		case name == "apiVersion" || name == "kind":
		case name == "metadata" && ok:
			for _, part := range []string{"labels", "annotations"} {
				if m, ok := inner[part].(map[string]any); ok {
					put("metadata\x00"+part, m)
				}
			}
		case ok:
			put(name, inner)
		default:
			out[name] = value
		}
	}
	return out
}

// entry is who owns which fields, by one operation.
type entry struct {
	manager, operation string
	fields             map[string]bool
}

// readOwners reads managedFields.
func readOwners(object map[string]any) []entry {
	var out []entry
	list, _ := within(object, "metadata")["managedFields"].([]any)
	for _, item := range list {
		m, _ := item.(map[string]any)
		e := entry{fields: map[string]bool{}}
		e.manager, _ = m["manager"].(string)
		e.operation, _ = m["operation"].(string)
		flatten("", within(m, "fieldsV1"), e.fields)
		out = append(out, e)
	}
	return out
}

func flatten(prefix string, fields map[string]any, into map[string]bool) {
	for name, inner := range fields {
		if name == "." {
			continue
		}
		path := prefix + strings.TrimPrefix(name, "f:")
		if m, _ := inner.(map[string]any); len(m) > 0 {
			flatten(path+"\x00", m, into)
		} else {
			into[path] = true
		}
	}
}

// writeOwners writes managedFields as a server does.
func writeOwners(object map[string]any, entries []entry) {
	list := []any{}
	for _, e := range entries {
		if len(e.fields) == 0 {
			continue
		}
		tree := map[string]any{}
		for _, field := range slices.Sorted(maps.Keys(e.fields)) {
			at := tree
			for part := range strings.SplitSeq(field, "\x00") {
				at = within(at, "f:"+part)
			}
		}
		for _, group := range []map[string]any{tree, within(tree, "f:metadata")} {
			for _, name := range []string{"f:data", "f:labels", "f:annotations"} {
				if m, ok := group[name].(map[string]any); ok {
					m["."] = map[string]any{}
				}
			}
		}
		list = append(list, map[string]any{"manager": e.manager, "operation": e.operation, "apiVersion": "v1",
			"time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": tree})
	}
	within(object, "metadata")["managedFields"] = list
}

// entryOf finds or adds an entry.
func entryFor(entries []entry, manager, operation string) ([]entry, int) {
	for i, e := range entries {
		if e.manager == manager && e.operation == operation {
			return entries, i
		}
	}
	return append(entries, entry{manager, operation, map[string]bool{}}), len(entries)
}

// owned gives what an update has changed to its manager, and takes it from others.
func owned(was, now map[string]any, manager string) {
	entries, mine := entryFor(readOwners(now), manager, "Update")
	before, after := fieldsOf(was), fieldsOf(now)
	if was == nil {
		before = map[string]any{}
	}
	for field, value := range after {
		if old, there := before[field]; there && same(old, value) {
			continue
		}
		for i := range entries {
			delete(entries[i].fields, field)
		}
		entries[mine].fields[field] = true
	}
	for field := range before {
		if _, there := after[field]; !there {
			for i := range entries {
				delete(entries[i].fields, field)
			}
		}
	}
	writeOwners(now, entries)
}

// applyTo is server-side apply: fields of another manager with another value are a
// conflict, and fields that the manager applied before and leaves out now go, unless
// somebody else has them as well.
func applyTo(was, now, sent map[string]any, manager string, force bool) *status {
	entries, mine := entryFor(readOwners(was), manager, "Apply")
	before, wanted := fieldsOf(was), fieldsOf(sent)
	var causes []map[string]any
	for field, value := range wanted {
		for i, e := range entries {
			if i == mine || !e.fields[field] || same(before[field], value) {
				continue
			}
			if force {
				delete(entries[i].fields, field)
				continue
			}
			causes = append(causes, map[string]any{"reason": "FieldManagerConflict", "message": fmt.Sprintf("conflict with %q using v1", e.manager),
				"field": "." + strings.ReplaceAll(field, "\x00", ".")})
		}
	}
	if len(causes) > 0 {
		return &status{409, "Conflict", fmt.Sprintf("Apply failed with %d conflicts", len(causes)), "", causes}
	}
	for field := range entries[mine].fields {
		_, kept := wanted[field]
		shared := slices.ContainsFunc(entries, func(e entry) bool { return e.fields[field] && (e.manager != manager || e.operation != "Apply") })
		if !kept && !shared {
			dropField(now, strings.Split(field, "\x00"))
		}
	}
	entries[mine].fields = map[string]bool{}
	for field, value := range wanted {
		setField(now, strings.Split(field, "\x00"), value)
		entries[mine].fields[field] = true
	}
	writeOwners(now, entries)
	return nil
}

func setField(object map[string]any, path []string, value any) {
	for _, part := range path[:len(path)-1] {
		object = within(object, part)
	}
	object[path[len(path)-1]] = value
}

func dropField(object map[string]any, path []string) {
	for _, part := range path[:len(path)-1] {
		object = within(object, part)
	}
	delete(object, path[len(path)-1])
}
