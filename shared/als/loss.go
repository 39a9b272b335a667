package als

// Loss is the value of the package's loss at f, in float64, from its definition. Epoch.Loss is the same without this work.
func Loss(m Interactions, f Factors, cfg Config) float64 {
	d := f.Dimension
	var loss float64
	perItem := make([]int, m.Items)
	for u := range m.Users {
		items, weights := m.Row(u)
		for k, i := range items {
			perItem[i]++
			miss := 1 - inner(f.User(u), f.Item(int(i)))
			loss += float64(weights[k]) * miss * miss
		}
		loss += cfg.Lambda * (float64(len(items)) + cfg.Alpha0*float64(m.Items)) * inner(f.User(u), f.User(u))
	}
	for i, n := range perItem {
		loss += cfg.Lambda * (float64(n) + cfg.Alpha0*float64(m.Users)) * inner(f.Item(i), f.Item(i))
	}
	// Σ over all pairs of ⟨u,v⟩² is the inner product of the two Gramians: |U|·|V| products are never formed.
	users, items := Gramian(f.Users, d), Gramian(f.Items, d)
	return loss + cfg.Alpha0*inner(users, items)
}

func inner(x, y []float32) float64 {
	var sum float64
	for k, v := range x {
		sum += float64(v) * float64(y[k])
	}
	return sum
}
