package seed_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/seed"
)

// A personalised model can only beat popularity honestly if the data has taste in it: leave one rating of each customer out and
// recommend 10 products, once by co-occurrence with the customer's others, once by popularity.
func TestTasteIsWorthMoreThanPopularity(t *testing.T) {
	t.Parallel()
	tables, err := seed.Tables()
	require.NoError(t, err)
	rated := map[int][]string{}
	for _, r := range ratings(t, tables[4]) {
		rated[r.Customer] = append(rated[r.Customer], r.Product)
	}

	const randomSeed = 1
	random := rand.New(rand.NewPCG(randomSeed, 0))
	customers, held := make([]int, 0, len(rated)), map[int]string{}
	for customer := range rated {
		customers = append(customers, customer)
	}
	slices.Sort(customers)
	popularity, together := map[string]float64{}, map[[2]string]float64{}
	for _, customer := range customers {
		i := random.IntN(len(rated[customer]))
		held[customer] = rated[customer][i]
		rated[customer] = slices.Delete(rated[customer], i, i+1)
		for _, a := range rated[customer] {
			popularity[a]++
			for _, b := range rated[customer] {
				together[[2]string{a, b}] += 1 / float64(len(rated[customer]))
			}
		}
	}

	recall := func(score func(customer int, product string) float64) float64 {
		hits := 0
		for _, customer := range customers {
			better := 0
			for product := range popularity {
				if !slices.Contains(rated[customer], product) && score(customer, product) > score(customer, held[customer]) {
					better++
				}
			}
			if better < 10 {
				hits++
			}
		}
		return float64(hits) / float64(len(customers))
	}
	byPopularity := recall(func(_ int, product string) float64 { return popularity[product] })
	byTaste := recall(func(customer int, product string) float64 {
		sum := 0.0
		for _, other := range rated[customer] {
			sum += together[[2]string{other, product}] / popularity[product]
		}
		return sum
	})
	t.Logf("recall@10 (seed %d): taste %.2f, popularity %.2f", randomSeed, byTaste, byPopularity)
	require.Greater(t, byTaste, 2*byPopularity)
}

func ratings(t *testing.T, table seed.Table) []seed.Rating {
	t.Helper()
	var all []seed.Rating
	for _, row := range table.Rows {
		all = append(all, seed.Rating{Customer: row[0].(int), Product: row[1].(string), Stars: row[2].(int)})
	}
	return all
}
