package kubernetes

import (
	"bytes"
	"errors"
	"mime"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// asProto is the form in which an API server stores its objects. It gives it away for a
// fraction of what JSON costs it, and costs us less to read. Not all that stands between
// us and an API server lets it through: JSON is as good.
const asProto = "application/vnd.kubernetes.protobuf"

// asEither is asked for where both forms can be read.
const asEither = asProto + ", " + asJSON

// isProto tells whether a Content-Type is that of Protocol Buffers.
func isProto(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == asProto
}

// protoMark begins every object in that form.
var protoMark = [...]byte{'k', '8', 's', 0}

// errWire says that what should be Protocol Buffers is not.
var errWire = errors.New("the answer is no object in Protocol Buffers")

// field is told of one field: its number, and its bytes, or its value where it is a
// number. The bytes are of the answer, and must be copied to be kept.
type field func(n protowire.Number, data []byte, value uint64) error

// eachField reads a message. Fields of a kind that we have no use for are passed over.
func eachField(message []byte, f field) error {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return errWire
		}
		message = message[size:]
		var data []byte
		var value uint64
		switch kind {
		case protowire.BytesType:
			data, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			value, size = protowire.ConsumeVarint(message)
		default:
			n, size = 0, protowire.ConsumeFieldValue(n, kind, message)
		}
		if size < 0 {
			return errWire
		}
		message = message[size:]
		if n == 0 {
			continue
		}
		if err := f(n, data, value); err != nil {
			return err
		}
	}
	return nil
}

// unwrap gives the kind of an object and its message.
func unwrap(answer []byte) (kind string, message []byte, err error) {
	rest, ok := bytes.CutPrefix(answer, protoMark[:])
	if !ok {
		return "", nil, errWire
	}
	err = eachField(rest, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case 1: // typeMeta
			return eachField(data, func(n protowire.Number, data []byte, _ uint64) error {
				if n == 2 {
					kind = string(data)
				}
				return nil
			})
		case 2: // raw
			message = data
		}
		return nil
	})
	return kind, message, err
}

// readProto reads a Secret in that form. Nothing of the answer is kept.
func (s *secret) readProto(answer []byte) error {
	kind, message, err := unwrap(answer)
	if err != nil || kind != "Secret" || len(message) == 0 {
		return errWire
	}
	return eachField(message, func(n protowire.Number, data []byte, value uint64) error {
		switch n {
		case 1:
			return s.Metadata.readProto(data)
		case 2:
			name, value, err := entry(data)
			if s.Data == nil {
				s.Data = map[string][]byte{}
			}
			s.Data[string(name)] = append([]byte{}, value...)
			return err
		case 3:
			s.Type = string(data)
		case 5:
			s.Immutable = value != 0
		}
		return nil
	})
}

// entry reads one entry of a map.
func entry(message []byte) (key, value []byte, err error) {
	err = eachField(message, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case 1:
			key = data
		case 2:
			value = data
		}
		return nil
	})
	return key, value, err
}

func (m *meta) readProto(message []byte) error {
	return eachField(message, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case 1:
			m.Name = string(data)
		case 3:
			m.Namespace = string(data)
		case 5:
			m.UID = string(data)
		case 6:
			m.ResourceVersion = string(data)
		case 9:
			return m.leaves(data)
		case 11:
			return addEntry(&m.Labels, data)
		case 12:
			return addEntry(&m.Annotations, data)
		case 13:
			m.OwnerReferences = append(m.OwnerReferences, owner{})
			return m.OwnerReferences[len(m.OwnerReferences)-1].readProto(data)
		case 17:
			m.ManagedFields = append(m.ManagedFields, managed{})
			return m.ManagedFields[len(m.ManagedFields)-1].readProto(data)
		}
		return nil
	})
}

// leaves reads the time at which the object was to be deleted.
func (m *meta) leaves(message []byte) error {
	var seconds int64
	err := eachField(message, func(n protowire.Number, _ []byte, value uint64) error {
		if n == 1 {
			seconds = int64(value) // a number with a sign is sent as one without
		}
		return nil
	})
	m.DeletionTimestamp = time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	return err
}

func addEntry(to *map[string]string, message []byte) error {
	key, value, err := entry(message)
	if *to == nil {
		*to = map[string]string{}
	}
	(*to)[string(key)] = string(value)
	return err
}

func (o *owner) readProto(message []byte) error {
	return eachField(message, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case 1:
			o.Kind = string(data)
		case 3:
			o.Name = string(data)
		case 5:
			o.APIVersion = string(data)
		}
		return nil
	})
}

// readProto reads who owns which fields; the fields of ours are not kept.
func (f *managed) readProto(message []byte) error {
	var fields []byte
	err := eachField(message, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case 1:
			f.Manager = string(data)
		case 2:
			f.Operation = string(data)
		case 7:
			return eachField(data, func(n protowire.Number, data []byte, _ uint64) error {
				if n == 1 {
					fields = data
				}
				return nil
			})
		}
		return nil
	})
	if f.Manager != manager {
		f.FieldsV1 = bytes.Clone(fields)
	}
	return err
}

// readProto reads what is answered instead of an object.
func (s *status) readProto(answer []byte) error {
	kind, message, err := unwrap(answer)
	if err != nil {
		return err
	}
	s.Kind = kind
	return eachField(message, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case 3:
			s.Message = string(data)
		case 4:
			s.Reason = string(data)
		case 5:
			return s.Details.readProto(data)
		}
		return nil
	})
}

func (d *details) readProto(message []byte) error {
	return eachField(message, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case 1:
			d.Name = string(data)
		case 3:
			d.Kind = string(data)
		case 4:
			d.Causes = append(d.Causes, cause{})
			return d.Causes[len(d.Causes)-1].readProto(data)
		}
		return nil
	})
}

func (c *cause) readProto(message []byte) error {
	return eachField(message, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case 1:
			c.Type = string(data)
		case 2:
			c.Message = string(data)
		case 3:
			c.Field = string(data)
		}
		return nil
	})
}
