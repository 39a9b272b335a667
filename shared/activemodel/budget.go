package activemodel

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
)

const (
	// What a function takes beside Go's heap: the pages of its program that are in use (the API's: 23 MB), and what does not count as Go's.
	programBytes = 32 << 20
	// Of the rest, models get so much; what is left is for batches, and for what is not collected yet.
	modelShare = 0.7
	// From here on the collector works as often as it must; without a limit, garbage may grow to as much as is in use.
	limitShare = 0.9
)

// Bytes of an item beside its embedding: four strings of 16 bytes and their text, its entry in the map of ids, bias, length, category, place of its
// similar items; 50 co-occurrences of 8 bytes, and where they begin; its list of similar items, kept once somebody asks for it: 5 of 40 bytes, and
// its head.
const (
	itemBytes     = 220
	togetherBytes = 408
	similarBytes  = 240
)

// squareBytes are a version's for each pair of dimensions: the axes of the fold-in, both ways, and the Gramian.
const squareBytes = 2*8 + 4

// BoundMemory keeps this process within its function's memory, and returns how much of that models may take. Outside of Lambda there is no bound.
func BoundMemory() int64 {
	megabytes, err := strconv.Atoi(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
	if err != nil {
		return math.MaxInt64
	}
	budget, limit := bounds(int64(megabytes) << 20)
	debug.SetMemoryLimit(limit)
	return budget
}

func bounds(memory int64) (budget, limit int64) {
	rest := float64(memory - programBytes)
	return int64(rest * modelShare), int64(rest * limitShare)
}

// Need is the most that a version takes in memory: while a next one is read the last one is still there, with its lists of similar items, and the
// embeddings are there twice, as they were read and as they are searched.
func Need(items int64, dimension int, together bool) int64 {
	embedding := int64(4 * dimension)
	each := itemBytes + embedding
	if together {
		each += togetherBytes
	}
	return items*(2*each+similarBytes+embedding) + 2*squareBytes*int64(dimension*dimension)
}
