package kpl_test

import (
	"crypto/md5"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/millrace/millrace/shared/kpl"
)

// aggregate does what the producer library does.
func aggregate(payloads ...string) []byte {
	message := protowire.AppendTag(nil, 1, protowire.BytesType)
	message = protowire.AppendString(message, "partition key")
	for _, p := range payloads {
		record := protowire.AppendTag(nil, 1, protowire.VarintType)
		record = protowire.AppendVarint(record, 0)
		record = protowire.AppendTag(record, 3, protowire.BytesType)
		record = protowire.AppendString(record, p)
		message = protowire.AppendTag(message, 3, protowire.BytesType)
		message = protowire.AppendBytes(message, record)
	}
	sum := md5.Sum(message)
	return append(append([]byte{0xF3, 0x89, 0x9A, 0xC2}, message...), sum[:]...)
}

func TestUserRecordsComeOutInOrder(t *testing.T) {
	t.Parallel()
	data := aggregate(`{"a":1}`, "", "Łódź")
	require.True(t, kpl.Aggregated(data))
	require.False(t, kpl.Aggregated([]byte(`{"a":1}`)))
	list, err := kpl.Split(data)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte(`{"a":1}`), {}, []byte("Łódź")}, list)
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	t.Parallel()
	good := aggregate("one", "two")
	for bit := range len(good) * 8 {
		bad := append([]byte(nil), good...)
		bad[bit/8] ^= 1 << (bit % 8)
		_, err := kpl.Split(bad)
		require.ErrorIs(t, err, kpl.ErrDamaged, fmt.Sprint("bit ", bit))
	}
	for n := range good {
		_, err := kpl.Split(good[:n])
		require.ErrorIs(t, err, kpl.ErrDamaged)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(aggregate("one"), true)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed { // a right checksum over any structure
			sum := md5.Sum(data)
			data = append(append([]byte{0xF3, 0x89, 0x9A, 0xC2}, data...), sum[:]...)
		}
		list, err := kpl.Split(data)
		if err != nil {
			require.ErrorIs(t, err, kpl.ErrDamaged)
		}
		total := 0
		for _, payload := range list {
			total += len(payload)
		}
		require.LessOrEqual(t, total, len(data), "no more comes out than went in")
	})
}
