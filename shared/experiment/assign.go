// Package experiment decides which of two model versions a user gets, and compares what came of it.
package experiment

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// Variants, as they stand in every record.
const (
	Active    = "active"    // no experiment was running
	Control   = "control"   // what the treatment is compared with
	Treatment = "treatment" // what is tried
	Replay    = "replay"    // nobody saw it: stored activity was answered again
)

// Assign says which variant of the n-th experiment a user gets: the treatment, if the user's point is below weight, the treatment's share
// of the users. The point is the first eight bytes, big-endian, of SHA-256("<n>:<user>") over 2⁶⁴. So it is uniform whatever the ids look
// like; the same in every process and in SQL; another one in the next experiment; and when the weight changes by so much, only so many
// users move, all in one direction.
func Assign(n int64, user string, weight float64) string {
	if Point(n, user) < weight {
		return Treatment
	}
	return Control
}

// Point is where a user stands in the n-th experiment, from 0 to below 1.
func Point(n int64, user string) float64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s", n, user))
	const bits = 53 // of a float64: more would round up to 1
	return math.Ldexp(float64(binary.BigEndian.Uint64(sum[:8])>>(64-bits)), -bits)
}
