package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// field is a member of a JSON object, its value as sent.
type field struct {
	name  string
	value json.RawMessage
}

func (f field) null() bool { return f.value[0] == 'n' }

var byteOrderMark = []byte("\ufeff")

// readObject checks size, encoding and depth before anything is decoded, and keeps the members in their order.
func readObject(payload []byte) ([]field, error) {
	if len(payload) > MaxBytes {
		return nil, invalid("%d bytes, more than the %d an event may have", len(payload), MaxBytes)
	}
	payload = bytes.TrimPrefix(payload, byteOrderMark)
	if !utf8.Valid(payload) {
		return nil, invalid("not valid UTF-8")
	}
	if depth(payload) > maxDepth {
		return nil, invalid("nested deeper than %d levels", maxDepth)
	}
	if !json.Valid(payload) {
		return nil, invalid("not valid JSON: %v", json.Unmarshal(payload, new(any)))
	}
	if err := checkValues(payload); err != nil {
		return nil, err
	}
	return readMembers(payload, "event")
}

// checkValues refuses what JSON's grammar allows and readers of the lake do not: fields are copied into the answer as sent,
// and one number beyond a double, or half a surrogate pair, makes a whole object of records unreadable to SQL engines.
func checkValues(payload []byte) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return invalid("not valid JSON: %v", err)
		}
		if n, isNumber := token.(json.Number); isNumber {
			if _, err := n.Float64(); err != nil {
				return invalid("the number %.40s is beyond what a double can hold", n)
			}
		}
	}
	for rest := payload; ; {
		at := bytes.IndexByte(rest, '\\')
		if at < 0 {
			return nil
		}
		unit, after := escaped(rest[at:])
		rest = after
		if !utf16.IsSurrogate(unit) {
			continue
		}
		low, after := escaped(rest)
		if utf16.DecodeRune(unit, low) == utf8.RuneError {
			return invalid("a string has \\u%04x without the other half of its surrogate pair", unit)
		}
		rest = after
	}
}

// escaped reads the escape sequence that valid JSON begins with: its UTF-16 unit if it is \uXXXX, else -1.
func escaped(text []byte) (unit rune, rest []byte) {
	if len(text) < 2 || text[0] != '\\' {
		return -1, text
	}
	if text[1] != 'u' {
		return -1, text[2:]
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1, text[2:]
	}
	return rune(n), text[6:]
}

// depth counts the deepest nesting of brackets outside of strings; it needs no valid JSON.
func depth(text []byte) (deepest int) {
	now, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// readMembers takes an object apart. A name that is there twice is refused: readers of the lake would
// disagree about which of the two counts.
func readMembers(object json.RawMessage, where string) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, invalid("%s is not a JSON object", where)
	}
	var fields []field
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, invalid("%s: %v", where, err)
		}
		f := field{name: token.(string)} // a valid object's members begin with a string
		if err := d.Decode(&f.value); err != nil {
			return nil, invalid("%s: %v", where, err)
		}
		if seen[f.name] {
			return nil, invalid("%s has the field %q twice", where, f.name)
		}
		seen[f.name] = true
		fields = append(fields, f)
	}
	return fields, nil
}

// checkNested refuses names that are there twice at any depth of a field that is only kept.
func checkNested(f field) error {
	f.name = f.name[:min(len(f.name), maxReason)] // a hundred thousand elements are not each named at whatever length
	switch f.value[0] {
	case '{':
		fields, err := readMembers(f.value, f.name)
		for _, member := range fields {
			if err == nil {
				err = checkNested(field{f.name + "." + member.name, member.value})
			}
		}
		return err
	case '[':
		list, err := readArray(f)
		for n, element := range list {
			if err == nil {
				err = checkNested(field{fmt.Sprintf("%s[%d]", f.name, n), element})
			}
		}
		return err
	}
	return nil
}

func readArray(f field) ([]json.RawMessage, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(f.value, &list); err != nil || list == nil {
		return nil, invalid("field %q is not an array", f.name)
	}
	return list, nil
}

type kind int

const (
	aNull kind = iota
	aString
	aNumber
	aBoolean
)

// scalar reads a value that is not nested, as text.
func scalar(f field) (string, kind, error) {
	switch f.value[0] {
	case 'n':
		return "", aNull, nil
	case 't', 'f':
		return string(f.value), aBoolean, nil
	case '"':
		var text string
		if err := json.Unmarshal(f.value, &text); err != nil {
			return "", 0, invalid("field %q: %v", f.name, err)
		}
		if strings.ContainsRune(text, 0) {
			return "", 0, invalid("field %q contains the character U+0000, which databases cannot hold", f.name)
		}
		return text, aString, nil
	case '{', '[':
		return "", 0, invalid("field %q is nested: want a plain value", f.name)
	}
	return string(f.value), aNumber, nil
}

// identifier reads an id that may be a string or a number: 103, "103" and 103.0 are the same user.
func identifier(f field) (string, error) {
	text, kind, err := scalar(f)
	if err != nil {
		return "", err
	}
	switch kind {
	case aBoolean:
		return "", invalid("field %q is %s: want a string or a number", f.name, text)
	case aNumber:
		if strings.ContainsAny(text, ".eE") {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil || x != math.Trunc(x) || math.Abs(x) >= 1<<53 {
				return "", invalid("field %q is %s: an identifier is a string or a whole number", f.name, text)
			}
			text = strconv.FormatFloat(x, 'f', 0, 64)
		}
	}
	if len(text) > maxID {
		return "", invalid("field %q has %d bytes, more than the %d of an identifier", f.name, len(text), maxID)
	}
	return text, nil
}

// quantity reads a number or a number in a string; NULL and "" are none.
func quantity(f field) (x float64, present bool, err error) {
	text, kind, err := scalar(f)
	if err != nil {
		return 0, false, err
	}
	if text = strings.TrimSpace(text); text == "" {
		return 0, false, nil
	}
	x, err = strconv.ParseFloat(text, 64)
	if kind == aBoolean || err != nil || !(x >= 0 && x <= maxQuantity) {
		return 0, false, invalid("field %q is %.40s: want a number from 0 to %g", f.name, f.value, float64(maxQuantity))
	}
	return x, true, nil
}

// milliseconds since 1970 are above this and seconds below: it is the year 5138 in the one and 1973 in the other.
const milliseconds = 100e9

// instant reads RFC 3339 or seconds or milliseconds since 1970, in a number or a string; NULL and "" are none.
func instant(f field) (time.Time, error) {
	text, kind, err := scalar(f)
	if err != nil {
		return time.Time{}, err
	}
	if text = strings.TrimSpace(text); text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UTC(), nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if kind == aBoolean || err != nil || math.IsNaN(x) {
		return time.Time{}, invalid("field %q is %.40s: want a time such as 2026-11-22T09:00:00Z, or seconds or milliseconds since 1970", f.name, f.value)
	}
	if math.Abs(x) < milliseconds {
		x *= 1000
	}
	return time.UnixMilli(int64(max(-maxMilliseconds, min(maxMilliseconds, x)))).UTC(), nil
}

// maxMilliseconds is beyond the year 9999, which is beyond any clock: Trusted takes the arrival instead.
const maxMilliseconds = 1e15

func boolean(f field) (bool, error) {
	text, kind, err := scalar(f)
	if err != nil {
		return false, err
	}
	if kind == aNull {
		return false, nil
	}
	b, err := strconv.ParseBool(strings.TrimSpace(text)) // true, "true", 1, "0", …
	if err != nil {
		return false, invalid("field %q is %.40s: want true or false", f.name, f.value)
	}
	return b, nil
}
