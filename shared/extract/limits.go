package extract

// Limits bound chunks, files and sections. All are planned from the rows read so far, never from
// the server's statistics nor from the time it takes, so that every attempt cuts the table at the
// same places.
type Limits struct {
	FirstChunkRows int   // before anything is known of the rows' size
	ChunkBytes     int64 // of Avro: what a chunk aims at
	FileBytes      int64 // of Avro: a file ends with the chunk that reaches this
	SectionRows    int64 // a new file begins after every so many rows: two sections are read at once
}

// DefaultLimits have reasons: a chunk of 16 MiB is read and reconciled within seconds, and is what a
// difference points to; files of 128 MiB are what Athena and a Lambda of 1 GB read well, and what is
// read again after a crash; of 1,000 rows even those with large texts are soon read; and a million rows
// take seconds, so that two connections are busy on any table that is worth two.
var DefaultLimits = Limits{FirstChunkRows: 1000, ChunkBytes: 16 << 20, FileBytes: 128 << 20, SectionRows: 1 << 20}

// GCPercent is what a program that extracts gives debug.SetGCPercent. Little is alive at a time, so that collecting at the usual twice of
// it costs a tenth of the processor time, and at five times no more than 13 MiB (2 M rows of six columns: 22 MiB and 1.7 s, 34 MiB and 1.5 s).
const GCPercent = 400

const (
	// chunkGrowth bounds how far the rows seen so far are trusted: small rows at the beginning of a
	// table say little about its end.
	chunkGrowth = 8
	// filesPerSection spaces the numbers of the files, so that they are known before the sections in front are
	// read. The last file of a section takes all that is left of it.
	filesPerSection = 1000
	// narrowing divides chunks and files where a server is so slow that not one file fits into an
	// invocation. 2 MiB in a quarter of an hour, the fourth try, is no server to read a table from.
	narrowing, maxNarrowed = 4, 3
	// maxContinued bounds what an error in this program could cost: a day of invocations.
	maxContinued = 100
)

// narrowed are the limits for a server that could not deliver one file in time.
func (l Limits) narrowed(times int) Limits {
	for range times {
		l.FirstChunkRows = max(1, l.FirstChunkRows/narrowing)
		l.ChunkBytes, l.FileBytes = l.ChunkBytes/narrowing, l.FileBytes/narrowing
	}
	return l
}

// chunkRows sizes a chunk from the mean row so far; before is the size of the last one, 0 if it is
// not to be trusted less than the mean.
func (l Limits) chunkRows(rows, bytes int64, before int) int {
	if rows == 0 || bytes == 0 {
		return max(l.FirstChunkRows, before)
	}
	target := l.ChunkBytes * rows / bytes
	if before > 0 {
		target = min(target, int64(before)*chunkGrowth)
	}
	return int(max(1, target))
}
