package seed

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
)

// Rating is what one customer thinks of one product, 1 to 5 stars.
type Rating struct {
	Customer int
	Product  string
	Stars    int
}

// unratedProducts were bought by somebody (or, S18_3233, by nobody) and yet never rated: the products without interactions that
// every real shop has, for which a model must fall back to features.
var unratedProducts = []string{"S18_3233", "S24_3969", "S700_2824"}

// shop is what the ratings are derived from. All arithmetic on it is in integers: floating point may be fused differently on
// arm64 and amd64, and the ratings must be the same everywhere.
type shop struct {
	customers []int
	products  []product
	bought    map[int]map[string]purchase
}

type product struct {
	code, line, vendor, scale string
}

// purchase sums up a customer's order lines of one product.
type purchase struct {
	orders   int
	quantity int
}

func newShop(tables []Table) (*shop, error) {
	s := &shop{bought: map[int]map[string]purchase{}}
	customerOf := map[string]int{}
	for _, t := range tables {
		for _, row := range t.Rows {
			switch t.Name {
			case "customers":
				number, err := strconv.Atoi(row[0].(string))
				if err != nil {
					return nil, fmt.Errorf("seed: customers: customerNumber: %w", err)
				}
				s.customers = append(s.customers, number)
			case "products":
				s.products = append(s.products, product{row[0].(string), row[2].(string), row[4].(string), row[3].(string)})
			case "orders":
				number, err := strconv.Atoi(row[5].(string))
				if err != nil {
					return nil, fmt.Errorf("seed: orders: customerNumber: %w", err)
				}
				customerOf[row[0].(string)] = number
			case "orderdetails":
				quantity, err := strconv.Atoi(row[2].(string))
				if err != nil {
					return nil, fmt.Errorf("seed: orderdetails: quantityOrdered: %w", err)
				}
				customer := customerOf[row[0].(string)]
				if s.bought[customer] == nil {
					s.bought[customer] = map[string]purchase{}
				}
				code := row[1].(string)
				p := s.bought[customer][code]
				s.bought[customer][code] = purchase{p.orders + 1, p.quantity + quantity}
			}
		}
	}
	return s, nil
}

// ratings are those of all customers with orders, in primary key order.
func (s *shop) ratings() []Rating {
	var all []Rating
	for _, customer := range s.customers {
		all = append(all, s.ratingsOf(customer)...)
	}
	return all
}

// ratingsOf are a customer's ratings: of everything it bought, and of the unbought products closest to its taste, up to half
// as many as it bought. Without the second part ratings would repeat the orders, which in this data are spread almost evenly over the
// products: nothing personal could be learned beyond which products are ordered together.
func (s *shop) ratingsOf(customer int) []Rating {
	bought := s.bought[customer]
	if len(bought) == 0 {
		return nil
	}
	var ratings []Rating
	for _, p := range s.products {
		if purchase, ok := bought[p.code]; ok && rated(p.code) {
			ratings = append(ratings, Rating{customer, p.code, starsForPurchase(customer, p.code, purchase)})
		}
	}
	wishes := s.wishes(customer)
	for i, p := range wishes[:min(len(bought)/2, len(wishes)/3)] {
		stars := 3 + int(hash("wish", customer, p.code)%3) - i*3/len(bought) // 3 to 5, less for the weaker wishes
		ratings = append(ratings, Rating{customer, p.code, stars})
	}
	slices.SortFunc(ratings, func(a, b Rating) int { return cmp.Compare(a.Product, b.Product) })
	return ratings
}

// starsForPurchase grows with the quantity per order (typically 20 to 50) and with every repeated order; a purchase in four disappoints.
func starsForPurchase(customer int, code string, p purchase) int {
	stars := 1 + p.quantity/p.orders/15 + 2*(p.orders-1)
	if hash("disappointed", customer, code)%4 == 0 {
		stars -= 2
	}
	return min(max(stars, 1), 5)
}

// wishes are the rated products that the customer has not bought, the closest to its taste first.
func (s *shop) wishes(customer int) []product {
	bought := s.bought[customer]
	taste := s.taste(customer)
	var wishes []product
	for _, p := range s.products {
		if _, ok := bought[p.code]; !ok && rated(p.code) {
			wishes = append(wishes, p)
		}
	}
	closeness := func(p product) int {
		// A hash of up to 30 percent of a full match keeps two customers of equal taste from wishing the same.
		return 4*taste["line "+p.line] + 2*taste["vendor "+p.vendor] + taste["scale "+p.scale] + int(hash("taste", customer, p.code)%210)
	}
	slices.SortStableFunc(wishes, func(a, b product) int { return cmp.Compare(closeness(b), closeness(a)) })
	return wishes
}

// taste says for each product line, vendor and scale what percentage of its products' units the customer bought, relative to the
// one it likes best (100).
func (s *shop) taste(customer int) map[string]int {
	units, products := map[string]int{}, map[string]int{}
	for _, p := range s.products {
		for _, trait := range []string{"line " + p.line, "vendor " + p.vendor, "scale " + p.scale} {
			units[trait] += 1000 * s.bought[customer][p.code].quantity
			products[trait]++
		}
	}
	best := map[byte]int{}
	for trait := range units {
		units[trait] /= products[trait]
		best[trait[0]] = max(best[trait[0]], units[trait])
	}
	for trait := range units {
		units[trait] = 100 * units[trait] / best[trait[0]]
	}
	return units
}

func rated(code string) bool { return !slices.Contains(unratedProducts, code) }

// hash is evenly distributed and the same on every machine.
func hash(purpose string, customer int, code string) uint32 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", purpose, customer, code))
	return binary.BigEndian.Uint32(sum[:4])
}
