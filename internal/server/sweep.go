package server

import (
	"context"
	"time"
)

// sweepEvery is how often what nobody can use any more is deleted. Nothing depends on it but space.
const sweepEvery = time.Hour

// sweep keeps the tables of tokens and of sign-ins from growing without end.
func (s *Server) sweep(ctx context.Context, now func() time.Time) {
	s.background(ctx, func(ctx context.Context) { s.SignIn.Sweep(ctx, s.Store) })
	s.background(ctx, func(ctx context.Context) {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			if err := s.Store.SweepTokens(ctx, now()); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "tokens not swept", "error", err.Error())
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}
