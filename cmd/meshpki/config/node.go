package config

// kind is what a value of the manifest is.
type kind uint8

const (
	kindNothing kind = iota // no value, ~ or null
	kindText
	kindList
	kindKeys
)

// String says the kind as an error does.
func (k kind) String() string { return [...]string{"nothing", "one text", "a list", "keys"}[k] }

// node is a value of the manifest. An alias is the very node that it names, so
// nodes are never changed once they are made.
type node struct {
	Place
	kind    kind
	quoted  bool    // text in quotes
	text    string  // of a text
	items   []*node // of a list
	entries []entry // of keys
	size    int     // nodes in it, itself included, its aliases followed
}

// entry is a key with its value. The place is the key's.
type entry struct {
	Place
	key   string
	value *node
}

// find is the entry of that key.
func (n *node) find(key string) (entry, bool) {
	for _, e := range n.entries {
		if e.key == key {
			return e, true
		}
	}
	return entry{}, false
}
