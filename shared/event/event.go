// Package event reads one shop event, whatever the shop calls its fields, and writes the record that answers it.
package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
)

// Event is a valid shop event.
type Event struct {
	User     string          // "" if nobody is logged in
	Session  string          // "" if the shop sent none
	Time     time.Time       // when it happened, if the shop says so; else zero
	History  []Entry         // oldest first, as it was sent
	Features features.Record // what the event says of the user, by feature column of the dataset

	fields []field // the whole object in its order, unknown fields too
}

// Entry is an item looked at.
type Entry struct {
	Item     string
	Quantity float64
	InCart   bool
	Age      time.Duration // of an earlier session, when it is remembered; 0 in an event
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
	// MaxBytes bounds an event: a history of a thousand items takes about 70 KB. The record that answers it fits the 1,000 KiB of a
	// Firehose record whatever the event's fields are called.
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
	history, user, session := false, names.User == "", names.Session == ""
	for _, f := range fields {
		switch f.name {
		case "": // nothing that the dataset names, though a field it does not name is "" there
			err = checkNested(f)
		case names.User:
			e.User, err = identifier(f)
			user = !f.null()
		case names.Session:
			e.Session, err = identifier(f)
			session = !f.null()
		case names.Time:
			e.Time, err = instant(f)
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
	if err := orDefault(&e.User, user, names.Defaults.User, names.User); err != nil {
		return Event{}, err
	}
	return e, orDefault(&e.Session, session, names.Defaults.Session, names.Session)
}

// Compact is a valid event on one line: in the lake a line is an event.
func Compact(payload []byte) ([]byte, error) {
	var line bytes.Buffer
	err := json.Compact(&line, bytes.TrimPrefix(payload, byteOrderMark))
	return line.Bytes(), err
}

// orDefault fills in what the dataset says stands for a missing field.
func orDefault[T any](value *T, present bool, standIn *T, name string) error {
	switch {
	case present:
	case standIn == nil:
		return invalid("field %q is missing, and the dataset has no default for it (event.defaults)", name)
	default:
		*value = *standIn
	}
	return nil
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
		entry := Entry{Quantity: 1} // of a shop whose events have no such field
		pieces, inCart := names.Quantity == "", names.InCart == ""
		for _, m := range members {
			name, m := m.name, field{where + "." + m.name, m.value}
			switch name {
			case "":
				err = checkNested(m)
			case names.Item:
				entry.Item, err = identifier(m)
			case names.Quantity:
				entry.Quantity, pieces, err = quantity(m)
			case names.InCart:
				entry.InCart, err = boolean(m)
				inCart = !m.null()
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
		if err := orDefault(&entry.Quantity, pieces, names.Defaults.Quantity, where+"."+names.Quantity); err != nil {
			return nil, err
		}
		if err := orDefault(&entry.InCart, inCart, names.Defaults.InCart, where+"."+names.InCart); err != nil {
			return nil, err
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
