package endtoend_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/athena"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/asof"
	"github.com/millrace/millrace/shared/athena"
	"github.com/millrace/millrace/shared/catalog"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/laketable"
	"github.com/millrace/millrace/shared/laketest"
	"github.com/millrace/millrace/shared/partition"
	"github.com/millrace/millrace/shared/schema"
	"github.com/millrace/millrace/shared/trainset"
)

// unloader is Athena as far as it is emulated: its SELECTs run there, in DuckDB, and what UNLOAD would write is written here from
// their rows, by another Parquet writer than millrace's. The UNLOAD statement itself has run nowhere but in AWS.
type unloader struct {
	*athena.Workgroup
	t       *testing.T
	store   lake.Store
	columns []schema.Column
	unloads int
}

var unload = regexp.MustCompile(`(?s)^UNLOAD \((SELECT .*)\) TO 's3://[^/]*/(.*/)' WITH \(format = 'PARQUET', compression = 'ZSTD'\)$`)

func (u *unloader) Once(ctx context.Context, statement, _ string) error {
	match := unload.FindStringSubmatch(statement)
	require.NotNil(u.t, match, statement)
	var texts []string // DuckDB's, so that no digit is lost on the way
	for i, c := range u.columns {
		if c.Kind == schema.Bytes {
			texts = append(texts, fmt.Sprintf("hex(c%d)", i))
		} else {
			texts = append(texts, fmt.Sprintf("CAST(c%d AS VARCHAR)", i))
		}
	}
	found, err := u.Query(ctx, "SELECT "+strings.Join(texts, ", ")+" FROM ("+match[1]+")")
	if err != nil {
		return err
	}
	var rows []schema.Row
	for _, fields := range found {
		row := make(schema.Row, len(fields))
		for i, text := range fields {
			if row[i].Null = text == nil; text != nil {
				row[i] = value(u.t, u.columns[i], *text)
			}
		}
		rows = append(rows, row)
	}
	u.unloads++
	laketest.Unload(u.t, u.store, match[2]+"20261122_020000_00001", u.columns, rows)
	return nil
}

// value reads what a column was unloaded as: clock times are milliseconds.
func value(t *testing.T, c schema.Column, text string) (v schema.Value) {
	t.Helper()
	var err error
	switch c.Kind {
	case schema.Uint:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 64)
		v.Int = int64(n)
	case schema.Decimal:
		number, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)
		number.Mul(number, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.Scale)), nil)))
		require.True(t, number.IsInt(), text)
		if v.Int = number.Num().Int64(); c.Precision > schema.MaxInt64Digits {
			v = schema.Value{Bytes: schema.AppendUnscaled(nil, number.Num())}
		}
	case schema.Float, schema.Double:
		v.Float, err = strconv.ParseFloat(text, 64)
	case schema.String:
		v.Bytes = []byte(text)
	case schema.Bytes:
		v.Bytes, err = hex.DecodeString(text)
	case schema.Date:
		var day time.Time
		day, err = time.Parse(time.DateOnly, text)
		v.Int = day.Unix() / 86400
	case schema.Datetime, schema.Timestamp:
		v.Int, err = strconv.ParseInt(text, 10, 64)
		v.Int *= 1000
	default:
		v.Int, err = strconv.ParseInt(text, 10, 64)
	}
	require.NoError(t, err)
	return v
}

// athenaJoinsTheSame lands an awkward shop in a lake of its own, and joins it in process and in Athena.
func athenaJoinsTheSame(t *testing.T, cloud aws.Config, workgroup string) {
	const bucket, database = "awkward-lake", "awkward"
	ctx := t.Context()
	_, err := s3.NewFromConfig(cloud, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	tables := glue.NewFromConfig(cloud)
	_, err = tables.CreateDatabase(ctx, &glue.CreateDatabaseInput{DatabaseInput: &gluetypes.DatabaseInput{Name: aws.String(database)}})
	require.NoError(t, err)
	store := lake.NewBucket(cloud, bucket)
	shop, days, runs := laketest.Awkward()
	for i, landed := range days {
		for _, table := range landed {
			_, err := partition.Write(ctx, store, laketest.Land(t, store, table, runs[i]), partition.Options{
				PartitionBy: shop.Tables[table.Name].PartitionBy, Limits: partition.DefaultLimits(),
			})
			require.NoError(t, err)
			require.NoError(t, catalog.New(tables).Register(ctx, catalog.Table{
				Database: database, Name: table.Name, Location: "s3://" + bucket + "/" + lake.CuratedRoot(table.Name), Columns: table.Columns, Day: runs[i].Date(),
			}))
		}
	}
	run := runs[len(runs)-1]
	settings := trainset.Settings{Engine: trainset.InProcess, Limits: trainset.LimitsOf(1769, 0)}
	inProcess, err := trainset.Write(ctx, store, shop, run, settings)
	require.NoError(t, err)
	want := texts(t, store, inProcess.Marker)
	require.NoError(t, store.Delete(ctx, lake.TrainingMarker(shop.Name, run)))

	emulated := &unloader{
		Workgroup: athena.New(sdk.NewFromConfig(cloud), workgroup, database, 50*time.Millisecond),
		t:         t, store: store, columns: inProcess.Marker.Columns,
	}
	settings.Engine, settings.Athena = trainset.InAthena, &trainset.Athena{Queries: emulated, Database: database, Location: "s3://" + bucket + "/"}
	inAthena, err := trainset.Write(ctx, store, shop, run, settings)
	require.NoError(t, err)
	require.Equal(t, 1, emulated.unloads)
	require.Len(t, want, 5)
	require.Equal(t, want, texts(t, store, inAthena.Marker))
	require.Equal(t, inProcess.Marker.Checksum, inAthena.Marker.Checksum)
	require.Equal(t, inProcess.Marker.Orphans, inAthena.Marker.Orphans)
	require.Equal(t, map[string]int64{"From": 3, "users": 2}, inAthena.Marker.Orphans)
	require.Equal(t, inProcess.Marker.Columns, inAthena.Marker.Columns)

	t.Run("a lookup that would multiply rows is refused", func(t *testing.T) {
		changed := *shop
		changed.Name, changed.Training.Joins = "twice", slices.Clone(shop.Training.Joins)
		changed.Training.Joins[0].On = map[string]string{"Zeile": "version"}
		_, err = trainset.Write(ctx, store, &changed, run, settings)
		require.ErrorContains(t, err, "table From: 1 values of version are there twice")
	})
	t.Run("a file that no marker lists is noticed", func(t *testing.T) {
		marker, _, err := lake.ReadMarker[lake.CuratedSuccess](ctx, store, lake.CuratedMarker("From", run), lake.CuratedFormat)
		require.NoError(t, err)
		file, _, err := store.Get(ctx, marker.Files[0].Key)
		require.NoError(t, err)
		stray := lake.CuratedPart("From", run, "", 99)
		require.NoError(t, store.Put(ctx, stray, file))
		require.NoError(t, file.Close())
		require.NoError(t, store.Delete(ctx, lake.TrainingMarker(shop.Name, run)))
		_, err = trainset.Write(ctx, store, shop, run, settings)
		require.ErrorContains(t, err, "table From: Athena reads 6 rows of its days, their markers list 5")
		require.NoError(t, store.Delete(ctx, stray))
	})
	t.Run("the SQL for people shows the table as of the run", func(t *testing.T) {
		marker, self, err := lake.ReadMarker[lake.CuratedSuccess](ctx, store, lake.CuratedMarker("From", run), lake.CuratedFormat)
		require.NoError(t, err)
		parents, err := asof.Chain(ctx, store, marker, self)
		require.NoError(t, err)
		table, err := asof.Read(ctx, store, parents)
		require.NoError(t, err)
		var want []string
		for row, err := range table["From"].Each(ctx, store, 1<<20) {
			require.NoError(t, err)
			want = append(want, schema.Text(marker.Columns[0], row[0])+" "+schema.Text(marker.Columns[2], row[2]))
		}
		document, err := os.ReadFile("../../docs/operations.md")
		require.NoError(t, err)
		_, query, ok := strings.Cut(string(document), " In Athena:\n\n```sql\n")
		require.True(t, ok)
		query, _, _ = strings.Cut(query, "```")
		replaced := strings.NewReplacer("FROM orders", `FROM "from"`, "ordernumber", "code", "2026-11-01", runs[0].Date(), "2026-11-22", run.Date()).Replace(query)
		require.NotContains(t, replaced, "order")
		rows, err := emulated.Query(ctx, "SELECT code, version FROM ("+replaced+")")
		require.NoError(t, err)
		var got []string
		for _, row := range rows {
			got = append(got, *row[0]+" "+*row[1])
		}
		require.ElementsMatch(t, want, got)
	})
}

// texts are a training set's rows, sorted: an engine has its own order.
func texts(t *testing.T, s lake.Store, m lake.TrainingSuccess) (texts []string) {
	t.Helper()
	for _, file := range m.Files {
		for row, err := range laketable.Rows(t.Context(), s, file, m.Columns) {
			require.NoError(t, err)
			var fields []string
			for i, c := range m.Columns {
				if row[i].Null {
					fields = append(fields, "NULL")
				} else {
					fields = append(fields, c.Name+"="+schema.Text(c, row[i]))
				}
			}
			texts = append(texts, strings.Join(fields, "\t"))
		}
	}
	slices.Sort(texts)
	return texts
}

// athenaIsGranted starts queries as the function that joins: in the stack's workgroup, in no other. (To look at a query, the emulated cloud
// does not see which workgroup it is of, and refuses; AWS does.)
func (s *system) athenaIsGranted(t *testing.T) {
	client := sdk.NewFromConfig(s.as(t, "TrainsetFunctionName"))
	start := func(workgroup string) error {
		_, err := client.StartQueryExecution(t.Context(), &sdk.StartQueryExecutionInput{QueryString: aws.String("SELECT 1"), WorkGroup: &workgroup})
		return err
	}
	require.NoError(t, start(s.outputs["QueryWorkGroupName"]))
	require.ErrorContains(t, start("primary"), "AccessDenied")
}
