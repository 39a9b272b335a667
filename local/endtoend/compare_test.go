package endtoend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/athena"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/athena"
	"github.com/millrace/millrace/shared/experiment"
	"github.com/millrace/millrace/shared/hitrate"
	"github.com/millrace/millrace/shared/lake"
)

// duck is Athena as far as it is emulated. DuckDB knows an object's path by another name, spells lambdas another way, and the emulated
// cloud has no partition projection: its columns are read off the path here.
type duck struct{ *athena.Workgroup }

var lambdas = regexp.MustCompile(`transform\((\w+|"\w+"), entry -> (.*?)\) AS (items|entries)`)

func (d duck) Query(ctx context.Context, query string) ([][]*string, error) {
	query = lambdas.ReplaceAllString(query, "list_transform($1, lambda entry: $2) AS $3")
	query = strings.NewReplacer(
		`"$path"`, "filename",
		"datehour BETWEEN", "regexp_extract(filename, '[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2}') BETWEEN",
		"replay = ", "regexp_extract(filename, '([^/]+)/recommendations/', 1) = ",
	).Replace(query)
	return d.Workgroup.Query(ctx, query)
}

// offer is one recommendation, look what its user did at a moment.
type offer struct {
	arm      int
	id, user string
	at       time.Time
	items    []string
}

type look struct {
	user, item string
	inCart     bool
	at         time.Time
}

// athenaComparesAsByHand lays made up traffic into a lake of its own, under the tables of the template, and counts it twice: by the one
// query, and here.
func (s *system) athenaComparesAsByHand(t *testing.T) {
	const bucket, database, seed = "compared-lake", "compared", 7
	ctx := t.Context()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	_, err := s3.NewFromConfig(s.aws, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	s.copyTables(t, bucket, database)
	store := lake.NewBucket(s.aws, bucket)

	from := time.Date(2026, 11, 20, 22, 0, 0, 0, time.UTC)
	q := hitrate.Question{From: from, To: from.Add(6 * time.Hour), Window: time.Hour}
	item := func() string { return fmt.Sprint("S", random.IntN(12)) }
	moment := func() time.Time { return from.Add(time.Duration(10*(random.IntN(7*6)-3)) * time.Minute) } // some before, some after, some at once
	var offers []offer
	var looks []look
	for u := range 150 {
		user := fmt.Sprint(100 + u)
		if u < 3 {
			user = "" // nobody
		}
		for n := range 1 + random.IntN(5) {
			o := offer{user: user, id: fmt.Sprintf("r%d-%d", u, n), at: moment(), items: []string{item(), item(), item()}}
			for o.arm = range 2 {
				offers = append(offers, o)
				o.items = []string{item(), item(), item()}
			}
		}
		for range random.IntN(20) {
			looks = append(looks, look{user, item(), random.IntN(3) == 0, moment()})
		}
	}
	objects := map[string]*bytes.Buffer{}
	add := func(root string, at time.Time, record map[string]any) {
		key := root + at.Format(lake.HourLayout) + "/made-up-1-" + at.Format("2006-01-02-15-04-05") + "-" + fmt.Sprint(at.Minute())
		if objects[key] == nil {
			objects[key] = &bytes.Buffer{}
		}
		require.NoError(t, json.NewEncoder(objects[key]).Encode(record))
	}
	event := func(user string) map[string]any {
		record := map[string]any{"session_id": "s", "browse_history": []map[string]any{}}
		if user != "" {
			record["customer_number"] = user
		}
		return record
	}
	record := func(o offer, variant string) map[string]any {
		r := event(o.user)
		list := []map[string]any{}
		for _, i := range o.items {
			list = append(list, map[string]any{"id": i, "score": 0.5, "why": "session"})
		}
		r["recommended_items"], r["recommendation_id"], r["variant"] = list, fmt.Sprint(o.id, "-", o.arm), variant
		r["model_version"], r["generated_at"] = fmt.Sprint("v", o.arm), o.at.Format(time.RFC3339Nano)
		return r
	}
	for n, o := range offers {
		add("replay/"+[]string{"one", "two"}[o.arm]+"/recommendations/", o.at, record(o, experiment.Replay))
		variant := experiment.Assign(1, o.user, 0.5)
		if (variant == experiment.Treatment) == (o.arm == 1) {
			add("recommendations/", o.at, record(o, variant))
			if n%5 == 0 { // delivered a second time
				add("recommendations/", o.at, record(o, variant))
			}
			foreign := record(o, experiment.Active) // before the experiment
			foreign["recommendation_id"] = fmt.Sprint("before ", n)
			add("recommendations/", o.at, foreign)
		}
	}
	for _, l := range looks {
		e := event(l.user)
		e["browse_history"] = []map[string]any{
			{"product_code": "S99", "quantity": 1, "in_shopping_cart": true}, {"product_code": l.item, "quantity": "2", "in_shopping_cart": l.inCart},
		}
		add("activity/", l.at, e)
	}
	for key, body := range objects {
		require.NoError(t, store.Put(ctx, key, body))
	}

	ask := duck{athena.New(sdk.NewFromConfig(s.aws), s.outputs["QueryWorkGroupName"], database, 50*time.Millisecond)}
	q.Arms = [2]hitrate.Arm{{Replay: "one"}, {Replay: "two"}}
	s.sameByHand(t, ask, q, offers, looks)
	q.Arms = [2]hitrate.Arm{{Variant: experiment.Control, Version: "v0"}, {Variant: experiment.Treatment, Version: "v1"}}
	var shown []offer
	for _, o := range offers {
		if (experiment.Assign(1, o.user, 0.5) == experiment.Treatment) == (o.arm == 1) {
			shown = append(shown, o)
		}
	}
	s.sameByHand(t, ask, q, shown, looks)
	q.Arms[1].Version = "v7"
	_, err = hitrate.Compare(ctx, ask, s.dataset.Event, q)
	require.ErrorIs(t, err, hitrate.ErrNothing)
}

func (s *system) sameByHand(t *testing.T, ask duck, q hitrate.Question, offers []offer, looks []look) {
	t.Helper()
	got, err := hitrate.Compare(t.Context(), ask, s.dataset.Event, q)
	require.NoError(t, err)
	for arm := range 2 {
		users := map[string]bool{}
		var all, viewed, inCart float64
		for _, o := range offers {
			if o.arm != arm || o.user == "" || o.at.Before(q.From) || !o.at.Before(q.To.Add(-q.Window)) {
				continue
			}
			users[o.user] = true
			all++
			v, c := 0., 0.
			for _, l := range looks {
				if l.user == o.user && strings.Contains(strings.Join(o.items, " ")+" ", l.item+" ") && l.at.After(o.at) && !l.at.After(o.at.Add(q.Window)) {
					v = 1
					if l.inCart {
						c = 1
					}
				}
			}
			viewed, inCart = viewed+v, inCart+c
		}
		out := got.Arms[arm]
		require.Greater(t, all, 50.)
		require.Greater(t, inCart, 2.)
		require.EqualValues(t, all, out.Recommendations)
		require.EqualValues(t, len(users), out.Users)
		require.InDelta(t, viewed/all, out.Viewed.Rate, 1e-12)
		require.InDelta(t, inCart/all, out.InCart.Rate, 1e-12)
	}
	require.InDelta(t, got.Arms[1].Viewed.Rate-got.Arms[0].Viewed.Rate, got.Viewed.Rate, 1e-12)
}

// copyTables makes the tables of the template, which Firehose and replays fill, over another lake.
func (s *system) copyTables(t *testing.T, bucket, database string) {
	ctx := t.Context()
	client := glue.NewFromConfig(s.aws)
	_, err := client.CreateDatabase(ctx, &glue.CreateDatabaseInput{DatabaseInput: &gluetypes.DatabaseInput{Name: &database}})
	require.NoError(t, err)
	from := s.outputs["GlueDatabaseName"]
	for table, folder := range map[string]string{"activity": "activity/", "recommendations": "recommendations/", "replays": "replay/"} {
		found, err := client.GetTable(ctx, &glue.GetTableInput{DatabaseName: &from, Name: &table})
		require.NoError(t, err)
		columns := map[string]bool{}
		for _, c := range found.Table.StorageDescriptor.Columns {
			columns[*c.Name] = true
		}
		require.True(t, columns["browse_history"] && columns["customer_number"], table)
		if table != "activity" {
			require.True(t, columns["variant"] && columns["recommendation_id"] && columns["recommended_items"] && columns["generated_at"], table)
		}
		require.Equal(t, "s3://"+s.outputs["LakeBucketName"]+"/"+folder, *found.Table.StorageDescriptor.Location)
		found.Table.StorageDescriptor.Location = aws.String("s3://" + bucket + "/" + folder)
		_, err = client.CreateTable(ctx, &glue.CreateTableInput{DatabaseName: &database, TableInput: &gluetypes.TableInput{
			Name: &table, TableType: found.Table.TableType, Parameters: found.Table.Parameters,
			PartitionKeys: found.Table.PartitionKeys, StorageDescriptor: found.Table.StorageDescriptor,
		}})
		require.NoError(t, err)
	}
}
