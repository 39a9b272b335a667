package laketest

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"math/bits"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/schema"
)

// Unload writes rows as Athena's UNLOAD does: columns c0, c1 …, all of them optional, in Athena's types, no metadata of ours, by
// another writer. Clock times are in milliseconds. What is known of Athena's files is from its documentation.
func Unload(t testing.TB, s lake.Store, key string, cols []schema.Column, rows []schema.Row) {
	t.Helper()
	group := parquet.Group{}
	for i, c := range cols {
		group[fmt.Sprintf("c%d", i)] = parquet.Optional(athenaNode(c))
	}
	layout := parquet.NewSchema("hive_schema", group)
	var body bytes.Buffer
	w := parquet.NewWriter(&body, layout, parquet.Compression(&parquet.Zstd))
	for _, row := range rows {
		values := make(parquet.Row, len(cols))
		for i, c := range cols {
			leaf, ok := layout.Lookup(fmt.Sprintf("c%d", i))
			require.True(t, ok)
			if v := parquet.NullValue(); row[i].Null {
				values[leaf.ColumnIndex] = v.Level(0, 0, leaf.ColumnIndex)
			} else {
				values[leaf.ColumnIndex] = athenaValue(c, row[i]).Level(0, 1, leaf.ColumnIndex)
			}
		}
		_, err := w.WriteRows([]parquet.Row{values})
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, s.Put(context.Background(), key, &body))
}

// maxDecimalBytes hold 38 digits.
const maxDecimalBytes = 16

func athenaNode(c schema.Column) parquet.Node {
	switch c.Kind {
	case schema.Int:
		return parquet.Int(max(8, 1<<bits.Len(uint(c.Bits-1))))
	case schema.Uint:
		if c.Bits == 64 {
			return parquet.Decimal(0, 20, parquet.FixedLenByteArrayType(maxDecimalBytes))
		}
		return parquet.Int(64)
	case schema.Decimal:
		if c.Precision <= schema.MaxInt64Digits {
			return parquet.Decimal(c.Scale, c.Precision, parquet.Int64Type)
		}
		return parquet.Decimal(c.Scale, c.Precision, parquet.FixedLenByteArrayType(maxDecimalBytes))
	case schema.Float:
		return parquet.Leaf(parquet.FloatType)
	case schema.Double:
		return parquet.Leaf(parquet.DoubleType)
	case schema.String:
		return parquet.String()
	case schema.Bytes:
		return parquet.Leaf(parquet.ByteArrayType)
	case schema.Date:
		return parquet.Date()
	}
	return parquet.Int(64)
}

func athenaValue(c schema.Column, v schema.Value) parquet.Value {
	switch c.Kind {
	case schema.Int:
		if c.Bits <= 32 {
			return parquet.Int32Value(int32(v.Int))
		}
	case schema.Uint:
		if c.Bits == 64 {
			return fixedDecimal(schema.AppendUnscaled(nil, new(big.Int).SetUint64(uint64(v.Int))))
		}
	case schema.Decimal:
		if c.Precision > schema.MaxInt64Digits {
			return fixedDecimal(v.Bytes)
		}
	case schema.Float:
		return parquet.FloatValue(float32(v.Float))
	case schema.Double:
		return parquet.DoubleValue(v.Float)
	case schema.String, schema.Bytes:
		return parquet.ByteArrayValue(v.Bytes)
	case schema.Date:
		return parquet.Int32Value(int32(v.Int))
	case schema.Datetime, schema.Timestamp:
		return parquet.Int64Value(v.Int / 1000)
	}
	return parquet.Int64Value(v.Int)
}

// fixedDecimal extends the sign to the left.
func fixedDecimal(unscaled []byte) parquet.Value {
	b := make([]byte, maxDecimalBytes)
	if len(unscaled) > 0 && unscaled[0]&0x80 != 0 {
		for i := range b {
			b[i] = 0xFF
		}
	}
	copy(b[maxDecimalBytes-len(unscaled):], unscaled)
	return parquet.FixedLenByteArrayValue(b)
}
