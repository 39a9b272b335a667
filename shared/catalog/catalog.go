// Package catalog keeps the tables of the Glue data catalog equal to what was written, so that
// a day is queryable in Athena as soon as it is published. Partitions are projected from dt:
// none is ever registered.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"

	"github.com/millrace/millrace/shared/schema"
)

// partitionKey is the day, the one partition of every table; deeper folders are read with it.
const partitionKey = "dt"

// Table is what the catalog should say.
type Table struct {
	Database    string
	Name        string
	Description string
	Location    string // s3://<bucket>/curated/<table>/
	Columns     []schema.Column
	Day         string // YYYY-MM-DD, a day that has data: days before the first are not listed by queries
}

// glueTables is what is used of Glue.
type glueTables interface {
	GetTable(context.Context, *glue.GetTableInput, ...func(*glue.Options)) (*glue.GetTableOutput, error)
	CreateTable(context.Context, *glue.CreateTableInput, ...func(*glue.Options)) (*glue.CreateTableOutput, error)
	UpdateTable(context.Context, *glue.UpdateTableInput, ...func(*glue.Options)) (*glue.UpdateTableOutput, error)
}

var _ glueTables = (*glue.Client)(nil)

// Catalog writes tables.
type Catalog struct{ glue glueTables }

// New returns a catalog; client is a *glue.Client.
func New(client glueTables) *Catalog { return &Catalog{client} }

// Register creates or updates the table; it does nothing if the catalog says all of it already.
// It may be repeated, and run at the same time for the same table.
func (c *Catalog) Register(ctx context.Context, t Table) error {
	if err := c.register(ctx, t); err != nil {
		return fmt.Errorf("catalog table %s.%s: %w", t.Database, t.Name, err)
	}
	return nil
}

func (c *Catalog) register(ctx context.Context, t Table) error {
	name := strings.ToLower(t.Name) // Glue folds it anyway
	var missing *types.EntityNotFoundException
	found, err := c.glue.GetTable(ctx, &glue.GetTableInput{DatabaseName: &t.Database, Name: &name})
	switch {
	case errors.As(err, &missing):
		_, err = c.glue.CreateTable(ctx, &glue.CreateTableInput{DatabaseName: &t.Database, TableInput: t.input(name, t.Day)})
		var exists *types.AlreadyExistsException
		if !errors.As(err, &exists) {
			return err
		}
		// Somebody was faster: see what they wrote.
		if found, err = c.glue.GetTable(ctx, &glue.GetTableInput{DatabaseName: &t.Database, Name: &name}); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	want := t.input(name, min(t.Day, firstDay(found.Table, t.Day)))
	if same(found.Table, want) {
		return nil
	}
	_, err = c.glue.UpdateTable(ctx, &glue.UpdateTableInput{DatabaseName: &t.Database, TableInput: want})
	return err
}

const (
	rangeParameter = "projection." + partitionKey + ".range"
	// lastDay: a run scheduled for tomorrow by the demo or by hand is seen at once.
	lastDay = "NOW+1DAYS"
)

// firstDay is where the registered table's days begin.
func firstDay(t *types.Table, otherwise string) string {
	if first, _, ok := strings.Cut(t.Parameters[rangeParameter], ","); ok {
		return first
	}
	return otherwise
}

func (t Table) input(name, first string) *types.TableInput {
	location := strings.TrimSuffix(t.Location, "/") + "/"
	return &types.TableInput{
		Name: &name, Description: &t.Description, TableType: aws.String("EXTERNAL_TABLE"),
		Parameters: map[string]string{
			"EXTERNAL":                                      "TRUE",
			"classification":                                "parquet",
			"projection.enabled":                            "true",
			"projection." + partitionKey + ".type":          "date",
			"projection." + partitionKey + ".format":        "yyyy-MM-dd",
			rangeParameter:                                  first + "," + lastDay,
			"projection." + partitionKey + ".interval":      "1",
			"projection." + partitionKey + ".interval.unit": "DAYS",
			"storage.location.template":                     location + partitionKey + "=${" + partitionKey + "}/",
		},
		PartitionKeys: []types.Column{{Name: aws.String(partitionKey), Type: aws.String("string")}},
		StorageDescriptor: &types.StorageDescriptor{
			Location:     &location,
			InputFormat:  aws.String("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"),
			OutputFormat: aws.String("org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"),
			SerdeInfo: &types.SerDeInfo{
				SerializationLibrary: aws.String("org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"),
			},
			Columns: columnsOf(t.Columns),
		},
	}
}

// same compares what Register writes; Glue adds fields and parameters of its own.
func same(have *types.Table, want *types.TableInput) bool {
	if have.StorageDescriptor == nil || aws.ToString(have.Description) != aws.ToString(want.Description) ||
		aws.ToString(have.StorageDescriptor.Location) != aws.ToString(want.StorageDescriptor.Location) {
		return false
	}
	for name, value := range want.Parameters {
		if have.Parameters[name] != value {
			return false
		}
	}
	return slices.EqualFunc(have.StorageDescriptor.Columns, want.StorageDescriptor.Columns, func(a, b types.Column) bool {
		return aws.ToString(a.Name) == aws.ToString(b.Name) && aws.ToString(a.Type) == aws.ToString(b.Type) &&
			aws.ToString(a.Comment) == aws.ToString(b.Comment)
	})
}
