package activemodel

import (
	"math"
	"os"
	"strconv"
)

// Of a function's memory, models get so much; the rest is for batches, the program and what is not collected yet.
const modelShare = 0.7

// Bytes of an item beside its embedding: four strings of 16 bytes and their text, its entry in the map of ids, bias, length, category, place of its
// similar items; and 50 co-occurrences of 8 bytes.
const (
	itemBytes     = 200
	togetherBytes = 400
)

// MemoryBudget is how much of the function's memory models may take. Outside of Lambda there is no bound.
func MemoryBudget() int64 {
	megabytes, err := strconv.Atoi(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
	if err != nil {
		return math.MaxInt64
	}
	return int64(float64(megabytes<<20) * modelShare)
}

// need is the most that a version takes in memory: while a next one is read the last one is still there, and the embeddings are there
// twice, as they were read and as they are searched.
func need(items int64, dimension int, together bool) int64 {
	each := int64(itemBytes + 4*dimension)
	if together {
		each += togetherBytes
	}
	return items * (2*each + int64(4*dimension))
}
