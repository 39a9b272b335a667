package parquetwriter

import (
	"fmt"
	"strings"

	"github.com/xitongsys/parquet-go/common"
	"github.com/xitongsys/parquet-go/parquet"
	xschema "github.com/xitongsys/parquet-go/schema"

	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

// element declares one leaf: physical type, logical type, and the older converted type where
// it says the same, for readers that know only that.
func element(c schema.Column) (*parquet.SchemaElement, error) {
	storage, err := parquetfile.StorageOf(c)
	if err != nil {
		return nil, err
	}
	physical, err := parquet.TypeFromString(string(storage.Physical))
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", c.Name, err)
	}
	repetition := parquet.FieldRepetitionType_REQUIRED
	if c.Nullable {
		repetition = parquet.FieldRepetitionType_OPTIONAL
	}
	e := &parquet.SchemaElement{Type: &physical, RepetitionType: &repetition}
	if storage.Physical == parquetfile.Fixed {
		length := int32(storage.Length)
		e.TypeLength = &length
	}
	converted := func(t parquet.ConvertedType) { e.ConvertedType = &t }
	logical := parquet.NewLogicalType()
	switch {
	case c.Kind == schema.Vector && c.Nullable:
		return nil, fmt.Errorf("column %s: a vector is never NULL", c.Name)
	case c.Kind == schema.Decimal:
		decimal(e, c.Precision, c.Scale)
	case c.Kind == schema.Uint && storage.Physical == parquetfile.Fixed:
		decimal(e, 20, 0)
	case c.Kind == schema.Int, c.Kind == schema.Uint:
		bits := parquetfile.IntegerBits(c)
		logical.INTEGER = &parquet.IntType{BitWidth: int8(bits), IsSigned: true}
		converted(map[int]parquet.ConvertedType{
			8: parquet.ConvertedType_INT_8, 16: parquet.ConvertedType_INT_16,
			32: parquet.ConvertedType_INT_32, 64: parquet.ConvertedType_INT_64,
		}[bits])
		e.LogicalType = logical
	case c.Kind == schema.String:
		logical.STRING = parquet.NewStringType()
		converted(parquet.ConvertedType_UTF8)
		e.LogicalType = logical
	case c.Kind == schema.Date:
		logical.DATE = parquet.NewDateType()
		converted(parquet.ConvertedType_DATE)
		e.LogicalType = logical
	case c.Kind == schema.Datetime, c.Kind == schema.Timestamp:
		utc := c.Kind == schema.Timestamp
		logical.TIMESTAMP = &parquet.TimestampType{
			IsAdjustedToUTC: utc, Unit: &parquet.TimeUnit{MICROS: parquet.NewMicroSeconds()},
		}
		if utc { // TIMESTAMP_MICROS means an instant: a clock without zone has no converted type
			converted(parquet.ConvertedType_TIMESTAMP_MICROS)
		}
		e.LogicalType = logical
	}
	// schema.Time stays a plain INT64: Parquet's TIME ends at 24 h, MySQL's at 838 h.
	return e, nil
}

func decimal(e *parquet.SchemaElement, precision, scale int) {
	p, s, converted := int32(precision), int32(scale), parquet.ConvertedType_DECIMAL
	e.Precision, e.Scale, e.ConvertedType = &p, &s, &converted
	e.LogicalType = parquet.NewLogicalType()
	e.LogicalType.DECIMAL = &parquet.DecimalType{Precision: p, Scale: s}
}

// listOf wraps a leaf in the format's three-level LIST; the group takes over its name.
func listOf(leaf *parquet.SchemaElement) []*parquet.SchemaElement {
	required, repeated, one, list := parquet.FieldRepetitionType_REQUIRED, parquet.FieldRepetitionType_REPEATED, int32(1), parquet.ConvertedType_LIST
	group := &parquet.SchemaElement{Name: leaf.Name, RepetitionType: &required, NumChildren: &one, ConvertedType: &list}
	group.LogicalType = parquet.NewLogicalType()
	group.LogicalType.LIST = parquet.NewListType()
	leaf.Name = "Element"
	return []*parquet.SchemaElement{group, {Name: "List", RepetitionType: &repeated, NumChildren: &one}, leaf}
}

// nameColumns gives the columns their true names in the file. The library derives variable
// names from the names it is given, which would make "a b" and "a32b" the same column.
func nameColumns(handler *xschema.SchemaHandler, columns []*column) {
	for _, c := range columns {
		c.key = handler.IndexMap[int32(c.at)]
		c.path = strings.Split(c.key, common.PAR_GO_PATH_DELIMITER)
		if c.Kind == schema.Vector {
			handler.Infos[c.at-2].ExName = c.Name
			handler.Infos[c.at-1].ExName = "list"
			handler.Infos[c.at].ExName = "element"
		} else {
			handler.Infos[c.at].ExName = c.Name
		}
	}
	handler.Infos[0].ExName = "schema"
	handler.CreateInExMap()
}
