// Package event reads one shop event, whatever the shop calls its fields, and writes the record that answers it.
package event

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
)

// Event is a valid shop event.
type Event struct {
	User     string          // "" if nobody is logged in
	Session  string          // "" if the shop sent none
	History  []Entry         // oldest first, as it was sent
	Features features.Record // what the event says of the user, by feature column of the dataset

	fields []field // the whole object in its order, unknown fields too
}

// Entry is an item looked at.
type Entry struct {
	Item     string
	Quantity float64 // 1 if the shop sent none
	InCart   bool
}

// Invalid says why an event can never be processed: trying again cannot help.
type Invalid struct{ Reason string }

func (e *Invalid) Error() string { return e.Reason }

func invalid(format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return &Invalid{reason}
}

const (
	// MaxBytes bounds an event: a history of a thousand items takes about 70 KB, and the record that
	// answers it still fits the 1,000 KiB of a Firehose record several times over.
	MaxBytes = 256 << 10
	// maxDepth bounds nesting: an event needs three levels, hostile ones bring thousands.
	maxDepth = 16
	// maxID bounds identifiers in bytes: they become PostgreSQL keys (2,704 bytes at most) and
	// Kinesis partition keys (256 characters).
	maxID = 256
	// maxReason bounds what is said of an event: the names of its fields are the sender's too.
	maxReason = 300
	// maxQuantity is beyond any order: more is a mistake.
	maxQuantity = 1e9
)

// Parse reads an event by the field names of the dataset. Every error is *Invalid.
func Parse(payload []byte, names dataset.Event) (Event, error) {
	fields, err := readObject(payload)
	if err != nil {
		return Event{}, err
	}
	e := Event{fields: fields, Features: features.Record{}}
	history := false
	for _, f := range fields {
		switch f.name {
		case names.User:
			e.User, err = identifier(f)
		case names.Session:
			e.Session, err = identifier(f)
		case names.History:
			history = true
			e.History, err = readHistory(f, names)
		default:
			if column, ok := names.Features[f.name]; ok {
				err = readFeature(f, column, e.Features)
			} else {
				err = checkNested(f)
			}
		}
		if err != nil {
			return Event{}, err
		}
	}
	if !history {
		return Event{}, invalid("field %q is missing: want the list of items looked at, oldest first (it may be empty)", names.History)
	}
	return e, nil
}

func readHistory(f field, names dataset.Event) ([]Entry, error) {
	list, err := readArray(f)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(list))
	for n, element := range list {
		where := fmt.Sprintf("%s[%d]", f.name, n)
		members, err := readMembers(element, where)
		if err != nil {
			return nil, err
		}
		entry := Entry{Quantity: 1}
		for _, m := range members {
			m := field{where + "." + m.name, m.value}
			switch m.name[len(where)+1:] {
			case names.Item:
				entry.Item, err = identifier(m)
			case names.Quantity:
				entry.Quantity, err = quantity(m)
			case names.InCart:
				entry.InCart, err = boolean(m)
			default:
				err = checkNested(m)
			}
			if err != nil {
				return nil, err
			}
		}
		if entry.Item == "" {
			return nil, invalid("%s has no %q: want an item's identifier", where, names.Item)
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

func readFeature(f field, column string, into features.Record) error {
	text, kind, err := scalar(f)
	switch {
	case err != nil:
		return err
	case kind == aBoolean:
		return invalid("field %q is %s: want a string or a number", f.name, text)
	case kind != aNull:
		into[column] = text
	}
	return nil
}
