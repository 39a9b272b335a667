package event_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
)

// What becomes of each oddity that an event can bring: it is refused with a reason, or kept as it was sent.
func TestEveryOddityIsRefusedOrKept(t *testing.T) {
	t.Parallel()
	const history = `"browse_history":[{"product_code":"a"}]}`
	for oddity, c := range map[string]struct{ text, refused string }{
		"as large as may be":                {`{"x":"` + strings.Repeat("x", event.MaxBytes-len(`{"x":"",`+history)) + `",` + history, ""},
		"one byte larger":                   {`{"x":"` + strings.Repeat("x", event.MaxBytes-len(`{"x":"",`+history)+1) + `",` + history, "262145 bytes"},
		"as deep as may be":                 {`{"x":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `,` + history, ""},
		"one level deeper":                  {`{"x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `,` + history, "deeper than 16"},
		"a hundred thousand levels":         {strings.Repeat(`{"x":`, 40_000), "deeper than 16"},
		"NUL byte":                          {"{\"city\":\"a\x00\"," + history, "not valid JSON"},
		"NUL, escaped, in an id":            {`{"customer_number":"1\u0000",` + history, "U+0000"},
		"NUL, escaped, in an item":          {`{"browse_history":[{"product_code":"a\u0000"}]}`, "U+0000"},
		"NUL, escaped, in a feature":        {`{"city":"\u0000",` + history, "U+0000"},
		"NUL, escaped, in what is kept":     {`{"note":"\u0000",` + history, ""},
		"high surrogate alone":              {`{"note":"\ud83d",` + history, "without the other half"},
		"low surrogate alone":               {`{"note":"\ude97",` + history, "without the other half"},
		"two high surrogates":               {`{"note":"\ud83d\ud83d",` + history, "without the other half"},
		"surrogate in a name":               {`{"\udc00":1,` + history, "without the other half"},
		"surrogate in UTF-8":                {"{\"note\":\"\xed\xa0\x80\"," + history, "not valid UTF-8"},
		"a pair":                            {`{"note":"\ud83d\ude97",` + history, ""},
		"NaN":                               {`{"credit_limit":NaN,` + history, "not valid JSON"},
		"NaN in a string":                   {`{"browse_history":[{"product_code":"a","quantity":"NaN"}]}`, "want a number"},
		"Infinity":                          {`{"x":-Infinity,` + history, "not valid JSON"},
		"Infinity in a string":              {`{"browse_history":[{"product_code":"a","quantity":"Infinity"}]}`, "want a number"},
		"1e400":                             {`{"x":1e400,` + history, "beyond what a double"},
		"-1e400, nested":                    {`{"x":{"y":[-1e400]},` + history, "beyond what a double"},
		"1e400 in a string":                 {`{"browse_history":[{"product_code":"a","quantity":"1e400"}]}`, "want a number"},
		"1e-400":                            {`{"x":1e-400,` + history, ""},
		"the same name twice":               {`{"x":1,"x":1,` + history, "twice"},
		"the same name twice, escaped once": {`{"x":1,"\u0078":1,` + history, "twice"},
		"the same name twice, nested":       {`{"x":[{"y":1,"y":2}],` + history, "twice"},
		"two histories":                     {`{"browse_history":[],` + history, "twice"},
		"names that differ in case":         {`{"City":1,"city":"a",` + history, ""},
		"byte order mark":                   {"\ufeff{" + history, ""},
		"two byte order marks":              {"\ufeff\ufeff{" + history, "not valid JSON"},
		"two events in one":                 {"{" + history + "{" + history, "not valid JSON"},
		"nothing":                           {"", "not valid JSON"},
		"null":                              {"null", "not a JSON object"},
		"a comment":                         {"{/**/" + history, "not valid JSON"},
		"fields nobody knows":               {`{"campaign":{"id":7},"":[],` + history, ""},
	} {
		t.Run(oddity, func(t *testing.T) {
			t.Parallel()
			e, err := event.Parse([]byte(c.text), names)
			if c.refused != "" {
				var permanent *event.Invalid
				require.ErrorAs(t, err, &permanent)
				require.ErrorContains(t, err, c.refused)
				return
			}
			require.NoError(t, err)
			line, err := e.AppendRecord(nil, names.Item, event.Answer{})
			require.NoError(t, err)
			sent := strings.TrimSuffix(strings.TrimPrefix(c.text, "\ufeff"), "}")
			require.True(t, strings.HasPrefix(strings.Replace(string(line), "sent_city", "city", 1), sent), "kept as it was sent")
		})
	}
}

// What an event of the size allowed can do at worst: each was once answered after minutes, or never, or by a line that no Firehose record holds.
func TestTheWorstNamesCostLittleAndMakeNoLineTooLarge(t *testing.T) { // alone: what is allocated is counted for the whole process
	fill := func(member func(n int) string) string {
		var text strings.Builder
		text.WriteString("{")
		for n := 0; ; n++ {
			m := member(n)
			if text.Len()+len(m)+len(`"browse_history":[]}`) > event.MaxBytes {
				return text.String() + `"browse_history":[]}`
			}
			text.WriteString(m)
		}
	}
	cases := func(n, letters int) string { // n in binary, in upper and lower case
		name := make([]byte, letters)
		for k := range name {
			name[k] = "aA"[n>>k&1]
		}
		return string(name)
	}
	long := strings.Repeat("n", 100<<10)
	elements := strings.TrimSuffix(strings.Repeat("0,", 70<<10), ",")
	var members strings.Builder
	for n := range 15 << 10 {
		fmt.Fprintf(&members, `"%d":0,`, n)
	}
	for name, text := range map[string]string{
		"one name in many cases":   fill(func(n int) string { return `"` + cases(n, 15) + `":0,` }),
		"many names in four cases": fill(func(n int) string { return fmt.Sprintf(`"%s%d":0,`, cases(n, 2), n/4) }),
		"names that renaming would give": fill(func(n int) string {
			return fmt.Sprintf(`"%s%d":0,`, []string{"sent_2_x", "x", "X", "sent_x"}[n%4], n/4)
		}),
		"what it gives is there already": fill(func(n int) string {
			return []string{fmt.Sprintf(`"sent_%d_%s":0,`, n+2, cases(0, 15)), `"` + cases(n, 15) + `":0,`}[n%2]
		}),
		"characters that HTML escapes": `{"` + strings.Repeat("<&>", 85<<10) + `":0,"browse_history":[]}`,
		"line separators":              `{"` + strings.Repeat("\u2028", 85<<10) + `":0,"browse_history":[]}`,
		"a long name of many elements": `{"` + long + `":[` + elements + `],"browse_history":[]}`,
		"a long name of many members":  `{"` + long + `":{` + members.String() + `"x":0},"browse_history":[]}`,
	} {
		before := allocated()
		e, err := event.Parse([]byte(text), names)
		require.NoError(t, err, name)
		line, err := e.AppendRecord(nil, names.Item, event.Answer{})
		require.NoError(t, err, name)
		require.Less(t, allocated()-before, uint64(64<<20), name)
		require.Less(t, len(line), 800<<10, name)
		var sent, fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(text), &sent), name)
		require.NoError(t, json.Unmarshal(line, &fields), name)
		require.Len(t, fields, len(sent)+8, name+": none is lost")
		lower := map[string]bool{}
		for f := range fields {
			lower[strings.ToLower(f)] = true
		}
		require.Len(t, lower, len(fields), name)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestAMissingFieldIsDefaultedOnlyWhereTheDatasetSaysSo(t *testing.T) {
	t.Parallel()
	whole := `{"customer_number":1,"session_id":"s","browse_history":[{"product_code":"a","quantity":2,"in_shopping_cart":true}]}`
	strict := names
	strict.Defaults = dataset.Defaults{}
	_, err := event.Parse([]byte(whole), strict)
	require.NoError(t, err)
	three, yes, guest := 3.0, true, "guest"
	filled := names
	filled.Defaults = dataset.Defaults{User: &guest, Session: &guest, Quantity: &three, InCart: &yes}
	for field, text := range map[string]string{
		`"customer_number"`:                  `{"session_id":"s","browse_history":[]}`,
		`"session_id"`:                       `{"customer_number":1,"session_id":null,"browse_history":[]}`,
		`"browse_history[0].quantity"`:       `{"customer_number":1,"session_id":"s","browse_history":[{"product_code":"a","quantity":"","in_shopping_cart":true}]}`,
		`browse_history[0].in_shopping_cart`: `{"customer_number":1,"session_id":"s","browse_history":[{"product_code":"a","quantity":2}]}`,
	} {
		_, err := event.Parse([]byte(text), strict)
		require.ErrorContains(t, err, field)
		require.ErrorContains(t, err, "no default")
		_, err = event.Parse([]byte(text), filled)
		require.NoError(t, err)
	}
	e, err := event.Parse([]byte(`{"browse_history":[{"product_code":"a"}]}`), filled)
	require.NoError(t, err)
	require.Equal(t, []any{"guest", "guest", []event.Entry{{Item: "a", Quantity: 3, InCart: true}}}, []any{e.User, e.Session, e.History})

	without := strict
	without.User, without.Session, without.Quantity, without.InCart = "", "", "", ""
	e, err = event.Parse([]byte(`{"browse_history":[{"product_code":"a"}]}`), without)
	require.NoError(t, err, "fields that the shop's events do not have")
	require.Equal(t, []event.Entry{{Item: "a", Quantity: 1}}, e.History)
}

func TestAnEventHappenedWhenItSaysUnlessItsClockIsWrong(t *testing.T) {
	t.Parallel()
	arrived := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	timed := names
	timed.Time = "at"
	for at, want := range map[string]time.Time{
		`"2026-11-22T08:59:00Z"`:        arrived.Add(-time.Minute),
		`"2026-11-22T09:59:00.5+01:00"`: arrived.Add(-time.Minute + 500*time.Millisecond),
		`1795337940`:                    arrived.Add(-time.Minute),
		`"1795337940000"`:               arrived.Add(-time.Minute),
		`1795337940.25`:                 arrived.Add(-time.Minute + 250*time.Millisecond),
		`"2026-11-22T09:04:59Z"`:        arrived.Add(5*time.Minute - time.Second),
		`"2026-11-22T09:05:01Z"`:        arrived, // ahead
		`"9999-12-31T23:59:59Z"`:        arrived,
		`1e308`:                         arrived,
		`-1e308`:                        arrived,
		`"2026-10-24T09:00:00Z"`:        arrived.Add(-29 * 24 * time.Hour), // gathered offline
		`"2026-10-22T09:00:00Z"`:        arrived,
		`0`:                             arrived,
		`"0001-01-01T00:00:00Z"`:        arrived,
		`null`:                          arrived,
		`""`:                            arrived,
		`"yesterday"`:                   {},
		`"NaN"`:                         {},
		`true`:                          {},
		`["2026-11-22T08:59:00Z"]`:      {},
		`"2026-11-31T08:59:00Z"`:        {},
	} {
		e, err := event.Parse([]byte(`{"at":`+at+`,"browse_history":[]}`), timed)
		if want.IsZero() {
			require.ErrorContains(t, err, `field "at"`, at)
			continue
		}
		require.NoError(t, err, at)
		require.Equal(t, want, e.HappenedAt(arrived), at)
	}
	e, err := event.Parse([]byte(`{"at":"yesterday","browse_history":[]}`), names)
	require.NoError(t, err, "a field like any other, to a shop that does not name it")
	require.Equal(t, arrived, e.HappenedAt(arrived))
}
