package evaluate

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/millrace/millrace/shared/als"
)

// Pair is what a split looks at of one interaction.
type Pair struct {
	User, Item int32
	Time       int64 // any unit, ascending; not read by LeaveOut
}

// LeaveOut holds out a fraction of every user's items: at least one and never all, so users with a single item keep it.
// user and item are the ids of the indices. Which items are held out follows from a hash of the two ids and the salt
// alone, so tomorrow's split of the same data, with new users and items beside it, tests (almost) the same pairs.
// All interactions of a pair go to the same side. The results are positions in pairs, ascending.
func LeaveOut(pairs []Pair, user, item []string, fraction float64, salt string) (train, held []int) {
	order := make([]int, len(pairs))
	keys := make([]uint64, len(pairs))
	for n, p := range pairs {
		order[n], keys[n] = n, pairHash(salt, user[p.User], item[p.Item])
	}
	compare := func(a, b int) int {
		return cmp.Or(cmp.Compare(pairs[a].User, pairs[b].User), cmp.Compare(keys[a], keys[b]), cmp.Compare(pairs[a].Item, pairs[b].Item))
	}
	slices.SortFunc(order, compare)
	for from := 0; from < len(order); {
		to, distinct := from, 0
		for to < len(order) && pairs[order[to]].User == pairs[order[from]].User {
			if to == from || compare(order[to-1], order[to]) != 0 {
				distinct++
			}
			to++
		}
		hold := min(max(1, int(fraction*float64(distinct)+0.5)), distinct-1)
		for n, rank := from, -1; n < to; n++ {
			if n == from || compare(order[n-1], order[n]) != 0 {
				rank++
			}
			if rank < hold {
				held = append(held, order[n])
			} else {
				train = append(train, order[n])
			}
		}
		from = to
	}
	slices.Sort(train)
	slices.Sort(held)
	return train, held
}

// ByTime holds out the latest fraction of all interactions: everything at or after one moment, so that nothing from
// the future is learned from. It never holds out everything: if all share one time, held is empty.
// A pair may occur on both sides: see Answerable. The results are positions in pairs, ascending.
func ByTime(pairs []Pair, fraction float64) (train, held []int) {
	times := make([]int64, len(pairs))
	for n, p := range pairs {
		times[n] = p.Time
	}
	slices.Sort(times)
	cut := len(times) - int(fraction*float64(len(times))+0.5)
	// Equal times stay together: move the cut to where the time changes, later first (a smaller hold-out).
	for cut > 0 && cut < len(times) && times[cut] == times[cut-1] {
		cut++
	}
	for n, p := range pairs {
		if cut < len(times) && p.Time >= times[cut] {
			held = append(held, n)
		} else {
			train = append(train, n)
		}
	}
	return train, held
}

// Answerable keeps the held-out pairs that a ranking learned from train can be asked for: of users who occur in train,
// without the items they already have there.
func Answerable(held, train als.Interactions) als.Interactions {
	var keep []als.Interaction
	for u := range held.Users {
		known, _ := train.Row(u)
		if len(known) == 0 {
			continue
		}
		items, weights := held.Row(u)
		for k, i := range items {
			if !contains(known, i) {
				keep = append(keep, als.Interaction{User: int32(u), Item: i, Weight: weights[k]})
			}
		}
	}
	m, err := als.Collect(held.Users, held.Items, keep)
	if err != nil {
		panic(err) // every pair comes from a valid matrix of the same shape
	}
	return m
}

func pairHash(salt, user, item string) uint64 {
	h := fnv.New64a()
	for _, part := range []string{salt, user, item} {
		h.Write([]byte(part)) // never fails
		h.Write([]byte{0})    // so that ("ab","c") and ("a","bc") differ
	}
	x := h.Sum64()
	// FNV's high bits hardly move with the last bytes: finish as SplitMix64 does.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
