package run

import (
	"context"
	"time"
)

// respite is kept back from a function's time: Lambda ends a function that is late, with its answer and what it has cached.
const respite = 2 * time.Second

// WithRespite ends a little before the function's time does, so that what it was waiting for can still be answered for.
func WithRespite(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-respite))
}
