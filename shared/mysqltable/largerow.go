package mysqltable

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
)

// A row is in memory seven times at its peak: in the driver's packets and their join, in the block
// of the Avro file and its compressed form, and what the garbage collector has not found yet
// (measured: rows of 32 MiB take 200 MiB, of 64 MiB 480). A function of 512 MB reads rows of
// 32 MiB beside everything else it does; where GOMEMLIMIT grants more, larger ones.
const (
	smallestLargestRow = 32 << 20
	timesInMemory      = 16 // with room for two rows at once, one of each range
)

// largestRow is how many bytes of text and bytes a row may have.
func largestRow() int64 {
	const only = -1 // reads the limit, which is math.MaxInt64 if none is set
	if limit := debug.SetMemoryLimit(only); limit < 1<<62 {
		return max(smallestLargestRow, limit/timesInMemory)
	}
	return smallestLargestRow
}

// unbounded types hold values that a function's memory may not.
var unbounded = []string{"mediumtext", "mediumblob", "longtext", "longblob",
	"geometry", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection"}

// selectList is the SQL of a row's values, its checksum, and the size of its unbounded values if it
// has such columns. These come as NULL if the size is above largest, so that the server never sends
// them. JSON is not counted: MySQL would print it once more for that, and bounds it by max_allowed_packet.
func (t *Table) selectList(largest int64) string {
	var sizes []string
	for i, c := range t.Columns {
		if slices.Contains(unbounded, t.types[i].base) {
			sizes = append(sizes, "IFNULL(OCTET_LENGTH("+quote(c.Name)+"), 0)")
		}
	}
	size := strings.Join(sizes, " + ")
	items := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		items[i] = selected(c, t.types[i], quote(c.Name))
		if slices.Contains(unbounded, t.types[i].base) {
			items[i] = fmt.Sprintf("IF(%s > %d, NULL, %s)", size, largest, items[i])
		}
	}
	items = append(items, "CRC32("+t.serverText()+")")
	if sizes != nil {
		items = append(items, size)
	}
	return strings.Join(items, ", ")
}
