package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// This file alone knows the YAML library: it turns a piece of the manifest into
// nodes of our own, which the reader then goes by. The library's own decoder is
// not used: it follows aliases without bound, reads 0640 as a number, and says
// what is wrong in the names of Go types.

// Bounds on what one piece, and all aliases together, may ask of us.
const (
	maxTokens  = 16_384  // in one piece
	maxKeys    = 4_096   // in one piece
	maxDepth   = 32      // brackets or dashes within each other
	maxNodes   = 32_768  // of one piece, with its aliases followed
	maxAliased = 2 << 20 // nodes that are reached through aliases, all together
)

// tree makes nodes of pieces; anchors of one piece serve those behind it.
type tree struct {
	line    int // what to add to the library's lines, which count from the piece's first
	anchors map[string]*node
	aliased int
	loose   bool              // objects of a cluster, which have texts over several lines
	words   map[string]string // short texts seen before: most services repeat the same few
}

// read turns a piece into a node.
func (t *tree) read(p piece) (*node, *Error) {
	t.line = p.line - 1
	return contain(p, t.parse)
}

// contain turns a panic of the YAML library into an error. Malformed text has
// made versions of it panic before (issues 540 and 890 of goccy/go-yaml); no text
// is known that does it to this one, and a manifest must never end the program.
func contain(p piece, parse func(piece) (*node, *Error)) (n *node, err *Error) {
	defer func() {
		if recover() != nil {
			n, err = nil, &Error{Line: p.line, Column: 1, Problem: "not YAML: the entry that starts here cannot be read",
				Hint: "look for a quote, a bracket or an anchor that is not finished"}
		}
	}()
	return parse(p)
}

func (t *tree) parse(p piece) (*node, *Error) {
	tokens := lexer.Tokenize(p.text)
	if err := t.checkTokens(tokens); err != nil {
		return nil, err
	}
	// Duplicate keys are found here: the library would name the wrong line.
	file, parseErr := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if parseErr != nil {
		return nil, t.syntax(p, parseErr)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, &Error{Line: p.line, Column: 1, Problem: "not YAML: the entry that starts here cannot be read"}
	}
	return t.node(file.Docs[0].Body)
}

// syntax is what the library found to be wrong.
func (t *tree) syntax(p piece, err error) *Error {
	out := &Error{Line: p.line, Column: 1, Problem: "not YAML"}
	var said interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &said) {
		if tk := said.GetToken(); tk != nil && tk.Position != nil {
			out = t.wrong(tk, "not YAML")
		}
		out.Problem += ": " + printable(said.GetMessage())
	}
	return out
}

// printable keeps a sentence of the library's to one line of visible characters.
func printable(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// wrong is an error at a token.
func (t *tree) wrong(tk *token.Token, format string, args ...any) *Error {
	e := &Error{Line: t.line + 1, Column: 1, Problem: fmt.Sprintf(format, args...)}
	if tk != nil && tk.Position != nil {
		e.Line, e.Column = t.line+tk.Position.Line, max(tk.Position.Column, 1)
	}
	return e
}

// checkTokens refuses what the parser would take too long or too deep over, and
// the parts of YAML that a manifest has no use for.
func (t *tree) checkTokens(tokens token.Tokens) *Error {
	depth, dashes, anchored, colons := 0, 0, -3, 0
	for i, tk := range tokens {
		if tk.Type != token.SequenceEntryType {
			dashes = 0
		}
		switch tk.Type {
		case token.InvalidType:
			return t.wrong(tk, "not YAML: %s", printable(tk.Error))
		case token.TagType:
			return t.wrong(tk, "a YAML tag, %s: a manifest needs none; what must be a text stands in quotes", quote(tk.Value))
		case token.LiteralType, token.FoldedType:
			if !t.loose {
				return t.wrong(tk, "%s has no meaning in a manifest", quote(tk.Value))
			}
		case token.MappingKeyType, token.DirectiveType, token.DocumentHeaderType, token.DocumentEndType:
			return t.wrong(tk, "%s has no meaning in a manifest", quote(tk.Value))
		case token.StringType, token.SingleQuoteType, token.DoubleQuoteType:
			if !t.loose && strings.Contains(strings.TrimSpace(tk.Origin), "\n") {
				return t.severalLines(tk)
			}
		case token.AnchorType:
			if anchored == i-2 {
				return t.wrong(tk, "not YAML: two anchors for one value")
			}
			anchored = i
		case token.SequenceEntryType:
			dashes++
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.MappingValueType:
			colons++
		}
		if depth+dashes > maxDepth {
			return t.wrong(tk, "lists and keys more than %d deep", maxDepth)
		}
		if i >= maxTokens || colons > maxKeys {
			return t.wrong(tk, "one entry with more than %d keys, or more than %d words and signs in all", maxKeys, maxTokens)
		}
	}
	return nil
}

// severalLines refuses a text that goes on on another line. The library would
// take a key that stands too far right for the rest of the text before it.
func (t *tree) severalLines(tk *token.Token) *Error {
	const problem = "a text over several lines: everything in a manifest fits one line"
	if tk.Type != token.StringType || tk.Prev == nil {
		return t.wrong(tk, problem)
	}
	err := t.wrong(tk.Prev, problem) // the library gives the place of the text's end
	err.Hint = "if the next line is a key of its own, it stands too far to the right"
	return err
}

// node turns the library's node into one of ours.
func (t *tree) node(n ast.Node) (*node, *Error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return t.mapping(n, n.Values)
	case *ast.MappingValueNode:
		return t.mapping(n, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		return t.sequence(n)
	case *ast.AnchorNode:
		value, err := t.node(n.Value)
		if err == nil {
			// Only now: an alias within its own anchor would be without end.
			t.anchors[n.Name.GetToken().Value] = value
		}
		return value, err
	case *ast.AliasNode:
		return t.alias(n)
	case *ast.NullNode:
		return &node{Place: t.place(n.GetToken()), kind: kindNothing, size: 1}, nil
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		tk := n.GetToken()
		quoted := tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType
		return &node{Place: t.place(tk), kind: kindText, quoted: quoted, text: t.word(tk.Value), size: 1}, nil
	case *ast.LiteralNode:
		return &node{Place: t.place(n.GetToken()), kind: kindText, quoted: true, text: n.Value.Value, size: 1}, nil
	case nil:
		return nil, t.wrong(nil, "not YAML: a value is missing")
	}
	return nil, t.wrong(n.GetToken(), "not YAML: a value is expected here")
}

// word gives the copy of a short text that is kept already, so that a large
// manifest does not hold the same namespace a hundred thousand times.
func (t *tree) word(s string) string {
	const longest, most = 24, 1024
	if len(s) > longest {
		return s
	}
	if w, ok := t.words[s]; ok {
		return w
	}
	if len(t.words) < most {
		t.words[s] = s
	}
	return s
}

// place is where a token stands in the file.
func (t *tree) place(tk *token.Token) Place {
	return Place{t.line + tk.Position.Line, max(tk.Position.Column, 1)}
}

// alias is the node that an alias names. It counts for all that is in it.
func (t *tree) alias(n *ast.AliasNode) (*node, *Error) {
	name := n.Value.GetToken().Value
	target, ok := t.anchors[name]
	if !ok {
		return nil, t.wrong(n.GetToken(), "no anchor &%s stands before this alias", printable(name))
	}
	if t.aliased += target.size; t.aliased > maxAliased {
		return nil, t.wrong(n.GetToken(), "the aliases up to this one stand for more than %d values", maxAliased)
	}
	return target, nil
}

func (t *tree) sequence(n *ast.SequenceNode) (*node, *Error) {
	out := &node{Place: t.place(n.GetToken()), kind: kindList, size: 1}
	for i, v := range n.Values {
		item, err := t.node(v)
		if err != nil {
			return nil, err
		}
		if item.kind == kindNothing && !n.IsFlowStyle {
			item = &node{Place: t.place(n.Entries[i].Start), kind: kindNothing, size: 1} // its dash's place
		}
		if item.kind == kindText && v.Type() != ast.AliasType && !n.IsFlowStyle && item.Column <= out.Column {
			return nil, t.wrong(v.GetToken(), "not YAML: a value stands further right than its dash")
		}
		out.items = append(out.items, item)
		if err := t.grow(out, item, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// grow counts a part of a node, so that aliases of aliases cannot make much of little.
func (t *tree) grow(n, part *node, at ast.Node) *Error {
	if n.size += part.size; n.size > maxNodes {
		return t.wrong(at.GetToken(), "one entry that stands for more than %d values with its aliases", maxNodes)
	}
	return nil
}

func (t *tree) mapping(n ast.Node, values []*ast.MappingValueNode) (*node, *Error) {
	out := &node{Place: t.place(n.GetToken()), kind: kindKeys, size: 1}
	if m, ok := n.(*ast.MappingNode); (!ok || !m.IsFlowStyle) && len(values) > 0 {
		out.Place = t.place(values[0].Key.GetToken()) // n's own token is the colon
	}
	lines := map[string]int{}
	var merges []*ast.MappingValueNode
	for _, v := range values {
		if v.Key.Type() == ast.MergeKeyType {
			merges = append(merges, v)
			continue
		}
		e, err := t.entry(v)
		if err != nil {
			return nil, err
		}
		if first, twice := lines[e.key]; twice {
			return nil, t.wrong(v.Key.GetToken(), "key %s stands twice: here and at line %d", quote(e.key), first)
		}
		lines[e.key] = e.Line
		out.entries = append(out.entries, e)
		if err := t.grow(out, e.value, v); err != nil {
			return nil, err
		}
	}
	for _, v := range merges {
		if err := t.merge(out, v, lines); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (t *tree) entry(v *ast.MappingValueNode) (entry, *Error) {
	key, err := t.node(v.Key)
	if err != nil {
		return entry{}, err
	}
	if key.kind != kindText {
		return entry{}, t.wrong(v.Key.GetToken(), "a key must be one word")
	}
	value, err := t.node(v.Value)
	if err == nil && value.kind == kindText && v.Value.Type() != ast.AliasType && value.Line > key.Line && value.Column <= key.Column {
		return entry{}, t.wrong(v.Value.GetToken(), "not YAML: a value stands further right than its key")
	}
	if err == nil && value.kind == kindNothing {
		// Nothing has no place of its own.
		value = &node{Place: t.place(v.Key.GetToken()), kind: kindNothing, size: 1}
	}
	return entry{Place: t.place(v.Key.GetToken()), key: key.text, value: value}, err
}

// merge takes over the entries that "<<" names and that are not there yet.
func (t *tree) merge(out *node, v *ast.MappingValueNode, lines map[string]int) *Error {
	from, err := t.node(v.Value)
	if err != nil {
		return err
	}
	sources := []*node{from}
	if from.kind == kindList {
		sources = from.items
	}
	for _, source := range sources {
		if source.kind != kindKeys {
			return t.wrong(v.Key.GetToken(), `"<<" takes keys, or a list of such, from elsewhere: an alias such as *usual is expected`)
		}
		for _, e := range source.entries {
			if _, there := lines[e.key]; there {
				continue
			}
			lines[e.key] = e.Line
			out.entries = append(out.entries, e)
			if err := t.grow(out, e.value, v); err != nil {
				return err
			}
		}
	}
	return nil
}
