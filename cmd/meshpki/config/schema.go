package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// Schema is the manifest's JSON schema (draft 7), for editors. It is made of the
// same tags that the reader goes by; what it cannot say (that a backend exists,
// that no two services are of one name) the reader alone refuses.
func Schema() []byte {
	root := schemaOfStruct(reflect.TypeFor[Manifest]())
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "meshpki.yaml"
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	// Maps, slices, texts and numbers do not fail.
	_ = enc.Encode(root)
	return out.Bytes()
}

type object = map[string]any

func schemaOfStruct(t reflect.Type) object {
	properties := object{}
	var need []string
	for _, f := range newShape(t).fields {
		p := schemaOf(t.Field(f.index).Type, f)
		p["description"] = f.doc
		properties[f.key] = p
		if f.need {
			need = append(need, f.key)
		}
	}
	out := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(need) > 0 {
		out["required"] = need
	}
	if !reflect.PointerTo(t).Implements(reflect.TypeFor[choice]()) {
		return out
	}
	s := newShape(t)
	if len(s.choose) == len(s.known) {
		out["minProperties"], out["maxProperties"] = 1, 1
		return out
	}
	// Where keys may stand beside the chosen one, each choice is an object of its own.
	var each []object
	for _, chosen := range s.choose {
		some := object{chosen: properties[chosen]}
		for _, f := range s.fields {
			if f.side {
				some[f.key] = properties[f.key]
			}
		}
		each = append(each, object{"type": "object", "additionalProperties": false, "properties": some, "required": []string{chosen}})
	}
	return object{"oneOf": each}
}

func schemaOf(t reflect.Type, f *field) object {
	switch t {
	case reflect.TypeFor[Layouts]():
		one := schemaOfText(f)
		return object{"oneOf": []object{one, {"type": "array", "minItems": 1, "items": one}}}
	case reflect.TypeFor[Hook]():
		steps := object{"type": "array", "minItems": 1, "items": schemaOfStruct(t.Elem())}
		words := object{"type": "array", "minItems": 1, "items": object{"type": "string", "minLength": 1}}
		return object{"oneOf": []object{words, steps}}
	case reflect.TypeFor[*Confirm]():
		return object{"oneOf": []object{{"type": "string", "minLength": 1}, schemaOfStruct(t.Elem())}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), f)
	case reflect.Struct:
		return schemaOfStruct(t)
	case reflect.Map:
		return object{"type": "object", "propertyNames": object{"pattern": forms[f.is].pattern}, "additionalProperties": schemaOf(t.Elem(), &field{})}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem(), f)}
	case reflect.Int:
		return object{"type": "integer", "minimum": 1}
	case reflect.Bool:
		return object{"type": "boolean"}
	}
	return schemaOfText(f)
}

func schemaOfText(f *field) object {
	out := object{"type": "string"}
	switch pattern := forms[f.is].pattern; {
	case len(f.of) > 0:
		out["enum"] = f.of
	case pattern != "":
		out["pattern"] = pattern
	default:
		out["minLength"] = 1
	}
	if f.like != "" && !strings.ContainsAny(f.like[:1], "[{") {
		out["examples"] = []string{f.like}
	}
	return out
}
