package catalog_test

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/catalog"
	"github.com/millrace/millrace/shared/schema"
)

// fakeGlue keeps tables in memory, at the edge of AWS.
type fakeGlue struct {
	tables          map[string]*types.TableInput
	creates, writes int
	beforeCreate    func()
}

func (g *fakeGlue) GetTable(_ context.Context, in *glue.GetTableInput, _ ...func(*glue.Options)) (*glue.GetTableOutput, error) {
	t, ok := g.tables[*in.Name]
	if !ok {
		return nil, &types.EntityNotFoundException{}
	}
	parameters := map[string]string{"transient_lastDdlTime": "1"} // Glue adds its own
	for k, v := range t.Parameters {
		parameters[k] = v
	}
	return &glue.GetTableOutput{Table: &types.Table{
		Name: t.Name, Description: t.Description, Parameters: parameters, StorageDescriptor: t.StorageDescriptor, PartitionKeys: t.PartitionKeys,
	}}, nil
}

func (g *fakeGlue) CreateTable(_ context.Context, in *glue.CreateTableInput, _ ...func(*glue.Options)) (*glue.CreateTableOutput, error) {
	if g.beforeCreate != nil {
		g.beforeCreate()
	}
	if _, ok := g.tables[*in.TableInput.Name]; ok {
		return nil, &types.AlreadyExistsException{}
	}
	g.creates++
	g.tables[*in.TableInput.Name] = in.TableInput
	return &glue.CreateTableOutput{}, nil
}

func (g *fakeGlue) UpdateTable(_ context.Context, in *glue.UpdateTableInput, _ ...func(*glue.Options)) (*glue.UpdateTableOutput, error) {
	g.writes++
	g.tables[*in.TableInput.Name] = in.TableInput
	return &glue.UpdateTableOutput{}, nil
}

func setup() (*fakeGlue, *catalog.Catalog, catalog.Table) {
	g := &fakeGlue{tables: map[string]*types.TableInput{}}
	return g, catalog.New(g), catalog.Table{
		Database: "shop", Name: "orderDetails", Description: "Orders", Location: "s3://lake/curated/orderDetails", Day: "2026-11-22",
		Columns: []schema.Column{
			{Name: "orderNumber", Kind: schema.Int, Bits: 32, Source: "int"},
			{Name: "priceEach", Kind: schema.Decimal, Precision: 10, Scale: 2},
			{Name: "DT", Kind: schema.Date},
		},
	}
}

func TestTableProjectsItsDays(t *testing.T) {
	t.Parallel()
	g, c, table := setup()
	require.NoError(t, c.Register(t.Context(), table))
	got := g.tables["orderdetails"]
	require.Equal(t, map[string]string{
		"EXTERNAL": "TRUE", "classification": "parquet", "projection.enabled": "true",
		"projection.dt.type": "date", "projection.dt.format": "yyyy-MM-dd", "projection.dt.range": "2026-11-22,NOW+1DAYS",
		"projection.dt.interval": "1", "projection.dt.interval.unit": "DAYS",
		"storage.location.template": "s3://lake/curated/orderDetails/dt=${dt}/",
	}, got.Parameters)
	require.Equal(t, []types.Column{
		{Name: aws.String("ordernumber"), Type: aws.String("int"), Comment: aws.String("int")},
		{Name: aws.String("priceeach"), Type: aws.String("decimal(10,2)")},
	}, got.StorageDescriptor.Columns)
	require.Equal(t, "dt", *got.PartitionKeys[0].Name)
}

func TestRegisteringAgainWritesNothing(t *testing.T) {
	t.Parallel()
	g, c, table := setup()
	require.NoError(t, c.Register(t.Context(), table))
	table.Day = "2026-11-23"
	require.NoError(t, c.Register(t.Context(), table))
	require.Equal(t, 1, g.creates)
	require.Zero(t, g.writes)
}

func TestChangesAreCarriedOver(t *testing.T) {
	t.Parallel()
	g, c, table := setup()
	require.NoError(t, c.Register(t.Context(), table))
	table.Day = "2026-11-01" // a day in the past was run by hand
	require.NoError(t, c.Register(t.Context(), table))
	require.Equal(t, "2026-11-01,NOW+1DAYS", g.tables["orderdetails"].Parameters["projection.dt.range"])
	table.Columns[1].Precision = 12
	require.NoError(t, c.Register(t.Context(), table))
	require.Equal(t, "decimal(12,2)", *g.tables["orderdetails"].StorageDescriptor.Columns[1].Type)
	require.Equal(t, 2, g.writes)
}

func TestTwoThatCreateAtOnceBothSucceed(t *testing.T) {
	t.Parallel()
	g, c, table := setup()
	g.beforeCreate = func() {
		g.beforeCreate = nil
		require.NoError(t, c.Register(t.Context(), table))
	}
	require.NoError(t, c.Register(t.Context(), table))
	require.Equal(t, 1, g.creates)
	require.Zero(t, g.writes)
}

type brokenGlue struct{ fakeGlue }

func (*brokenGlue) GetTable(context.Context, *glue.GetTableInput, ...func(*glue.Options)) (*glue.GetTableOutput, error) {
	return nil, errors.New("access denied")
}

func TestErrorsNameTheTable(t *testing.T) {
	t.Parallel()
	_, _, table := setup()
	require.ErrorContains(t, catalog.New(&brokenGlue{}).Register(t.Context(), table), "shop.orderDetails: access denied")
}

func TestEveryTypeIsWhatAthenaReads(t *testing.T) {
	t.Parallel()
	for want, columns := range map[string][]schema.Column{
		"tinyint":        {{Kind: schema.Int, Bits: 8}, {Kind: schema.Uint, Bits: 1}},
		"smallint":       {{Kind: schema.Int, Bits: 16}, {Kind: schema.Uint, Bits: 8}},
		"int":            {{Kind: schema.Int, Bits: 24}, {Kind: schema.Int, Bits: 32}, {Kind: schema.Uint, Bits: 16}, {Kind: schema.Uint, Bits: 24}},
		"bigint":         {{Kind: schema.Int, Bits: 64}, {Kind: schema.Uint, Bits: 32}, {Kind: schema.Uint, Bits: 63}, {Kind: schema.Time}},
		"decimal(20,0)":  {{Kind: schema.Uint, Bits: 64}},
		"decimal(38,10)": {{Kind: schema.Decimal, Precision: 38, Scale: 10}},
		"binary":         {{Kind: schema.Bytes}, {Kind: schema.Decimal, Precision: 39}},
		"float":          {{Kind: schema.Float}},
		"double":         {{Kind: schema.Double}},
		"string":         {{Kind: schema.String}},
		"date":           {{Kind: schema.Date}},
		"timestamp":      {{Kind: schema.Datetime}, {Kind: schema.Timestamp}},
		"array<float>":   {{Kind: schema.Vector}},
	} {
		for _, c := range columns {
			require.Equal(t, want, catalog.Type(c))
		}
	}
}
