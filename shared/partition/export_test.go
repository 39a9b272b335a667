package partition

import "github.com/millrace/millrace/shared/rowbatch"

// Disturb changes rows between reading and sorting, and between sorting and encoding.
func (o Options) Disturb(beforeSort, beforeEncode func(*rowbatch.Batch)) Options {
	o.disturb = disturb{beforeSort, beforeEncode}
	return o
}
