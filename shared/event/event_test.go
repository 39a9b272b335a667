package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/event"
	"github.com/millrace/millrace/shared/features"
)

var names = dataset.Event{
	User: "customer_number", Session: "session_id", History: "browse_history",
	Item: "product_code", Quantity: "quantity", InCart: "in_shopping_cart",
	Features: map[string]string{"city": "city", "credit_limit": "creditLimit"},
	Defaults: dataset.Defaults{User: new(string), Session: new(string), Quantity: &one, InCart: new(bool)},
}

var one = 1.0

func TestEventIsReadByTheDatasetsFieldNames(t *testing.T) {
	t.Parallel()
	e, err := event.Parse([]byte(`{"session_id":"s1","customer_number":103,"city":"Łódź","credit_limit":21000.50,"shoe":{"size":44},
		"browse_history":[{"product_code":"S10_1678","quantity":"2","in_shopping_cart":true,"colour":"red"},{"product_code":"S10_1949","quantity":3}]}`), names)
	require.NoError(t, err)
	require.Equal(t, "103", e.User)
	require.Equal(t, "s1", e.Session)
	require.Equal(t, features.Record{"city": "Łódź", "creditLimit": "21000.50"}, e.Features)
	require.Equal(t, []event.Entry{{Item: "S10_1678", Quantity: 2, InCart: true}, {Item: "S10_1949", Quantity: 3}}, e.History)
}

func TestOddButMeaningfulEventsAreAccepted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		user string
		list []event.Entry
	}{
		"nobody logged in":            {`{"customer_number":null,"browse_history":[]}`, "", []event.Entry{}},
		"user as text":                {`{"customer_number":"103","browse_history":[]}`, "103", []event.Entry{}},
		"user as float":               {`{"customer_number":103.0,"browse_history":[]}`, "103", []event.Entry{}},
		"user beyond 64 bits":         {`{"customer_number":123456789012345678901234567890,"browse_history":[]}`, "123456789012345678901234567890", []event.Entry{}},
		"item as number, no quantity": {`{"browse_history":[{"product_code":7}]}`, "", []event.Entry{{Item: "7", Quantity: 1}}},
		"quantity null":               {`{"browse_history":[{"product_code":"a","quantity":null}]}`, "", []event.Entry{{Item: "a", Quantity: 1}}},
		"quantity zero":               {`{"browse_history":[{"product_code":"a","quantity":"0"}]}`, "", []event.Entry{{Item: "a"}}},
		"cart flag as text":           {`{"browse_history":[{"product_code":"a","in_shopping_cart":"true"}]}`, "", []event.Entry{{Item: "a", Quantity: 1, InCart: true}}},
		"byte order mark":             {"\ufeff" + `{"browse_history":[]}`, "", []event.Entry{}},
		"brackets inside a string":    {`{"x":"` + strings.Repeat("[", 100) + `\"[","browse_history":[]}`, "", []event.Entry{}},
		"a time of another age":       {`{"timestamp":"9999-12-31T23:59:59Z","at":-62135596800,"browse_history":[]}`, "", []event.Entry{}},
		"nested, unknown":             {`{"x":{"a":[{"b":1},{"b":2}],"b":{}},"browse_history":[{"product_code":"a","y":{"z":1}}]}`, "", []event.Entry{{Item: "a", Quantity: 1}}},
		"a surrogate pair":            {`{"x":"\ud83d\ude97 \\ud800","browse_history":[]}`, "", []event.Entry{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := event.Parse([]byte(c.text), names)
			require.NoError(t, err)
			require.Equal(t, c.user, e.User)
			require.Equal(t, c.list, e.History)
		})
	}
}

func TestAnEventThatCanNeverBeProcessedSaysWhy(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for reason, text := range map[string]string{
		"not valid JSON":                    `{"browse_history":[`,
		"not valid UTF-8":                   "{\"city\":\"\xff\",\"browse_history\":[]}",
		"not a JSON object":                 `[1]`,
		"more than the 262144":              `{"x":"` + strings.Repeat("x", event.MaxBytes) + `"}`,
		"nested deeper than 16":             strings.Repeat("[", 5000),
		`"browse_history" is missing`:       `{"customer_number":1}`,
		`"browse_history" is not an array`:  `{"browse_history":{"product_code":"a"}}`,
		`field "browse_history" is not`:     `{"browse_history":null}`,
		`browse_history[1] is not a JSON`:   `{"browse_history":[{"product_code":"a"},"b"]}`,
		`browse_history[0] has no "prod`:    `{"browse_history":[{"quantity":1}]}`,
		`"browse_history[0].quantity" is "`: `{"browse_history":[{"product_code":"a","quantity":"many"}]}`,
		`quantity" is -1`:                   `{"browse_history":[{"product_code":"a","quantity":-1}]}`,
		`quantity" is "NaN"`:                `{"browse_history":[{"product_code":"a","quantity":"NaN"}]}`,
		`number 1e400 is beyond`:            `{"x":[{"y":1e400}],"browse_history":[]}`,
		`\ud800 without the other half`:     `{"city":"\ud800","browse_history":[]}`,
		`\udc00 without the other half`:     `{"city":"\\\udc00\ud83d","browse_history":[]}`,
		`quantity" is true`:                 `{"browse_history":[{"product_code":"a","quantity":true}]}`,
		`in_shopping_cart" is "perhaps"`:    `{"browse_history":[{"product_code":"a","in_shopping_cart":"perhaps"}]}`,
		`"customer_number" is nested`:       `{"customer_number":{"id":1},"browse_history":[]}`,
		`"customer_number" is true`:         `{"customer_number":true,"browse_history":[]}`,
		`"customer_number" is 1.5`:          `{"customer_number":1.5,"browse_history":[]}`,
		`"customer_number" has 300 bytes`:   `{"customer_number":"` + long + `","browse_history":[]}`,
		`"city" is nested`:                  `{"city":["Paris"],"browse_history":[]}`,
		`U+0000`:                            `{"customer_number":"a\u0000b","browse_history":[]}`,
		`has the field "city" twice`:        `{"city":"a","city":"b","browse_history":[]}`,
		`x.a[1] has the field "b" twice`:    `{"x":{"a":[1,{"b":1,"b":2}]},"browse_history":[]}`,
		`0].y has the field "z" twice`:      `{"browse_history":[{"product_code":"a","y":{"z":1,"z":1}}]}`,
		`event has the field "xxxxxxxxxx`:   `{"` + strings.Repeat("x", 5000) + `":1,"` + strings.Repeat("x", 5000) + `":1,"browse_history":[]}`,
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			_, err := event.Parse([]byte(text), names)
			var permanent *event.Invalid
			require.ErrorAs(t, err, &permanent)
			require.ErrorContains(t, err, reason)
			require.Less(t, len(err.Error()), 400, "a reason must not carry the payload")
		})
	}
}

func TestRecordIsTheEventAsSentThenTheAnswerOnOneLine(t *testing.T) {
	t.Parallel()
	e, err := event.Parse([]byte("{\"shoe\": {\"size\" : 4.40e1},\n \"city\":\"Łódź <&>\", \"Event_ID\":\"mine\", \"City\":1, \"browse_history\": []}"), names)
	require.NoError(t, err)
	line, err := e.AppendRecord(nil, names.Item, event.Answer{
		Recommended: []event.Recommended{{ID: "a", Score: 0.5, Why: "session", Because: "b"}, {ID: "c", Score: 0.25, Why: "everyone"}},
		Seed:        "b", Similar: []event.Similar{{ID: "d", Distance: 0.125}},
		Strategy: "session",
		Lineage:  event.Lineage{EventID: "shard:1", RecommendationID: "r", ModelVersion: "v", Variant: "active", GeneratedAt: time.Unix(0, 0)},
	})
	require.NoError(t, err)
	require.Equal(t, `{"shoe":{"size":4.40e1},"city":"Łódź <&>","sent_Event_ID":"mine","sent_City":1,"browse_history":[],`+
		`"recommended_items":[{"id":"a","score":0.5,"why":"session","because":"b"},{"id":"c","score":0.25,"why":"everyone"}],`+
		`"similar_items":{"product_code":"b","similar_items":[{"id":"d","distance":0.125}]},`+
		`"event_id":"shard:1","recommendation_id":"r","model_version":"v","variant":"active","strategy":"session","generated_at":"1970-01-01T00:00:00Z"}`+"\n", string(line))

	two, err := e.AppendRecord(line, names.Item, event.Answer{})
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(two), "\n"), "\n")
	require.Len(t, lines, 2)
	for _, l := range lines {
		require.True(t, json.Valid([]byte(l)), l)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"session_id":"s1","customer_number":103,"browse_history":[{"product_code":"a","quantity":"2"}]}`))
	f.Add([]byte(`{"browse_history":[{}]}`))
	f.Add([]byte("{\"a\\u0062\":\"\\ud800\",\"ab\":1}"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := event.Parse(payload, names)
		if err != nil {
			var permanent *event.Invalid
			require.ErrorAs(t, err, &permanent)
			return
		}
		line, err := e.AppendRecord(nil, names.Item, event.Answer{})
		require.NoError(t, err)
		require.True(t, json.Valid(line))
		require.Equal(t, 1, strings.Count(string(line), "\n"))
	})
}
