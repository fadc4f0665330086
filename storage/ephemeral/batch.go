package ephemeral

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
)

// Batch implements expiring.Store: one pipeline. The keys may lie on several nodes of a Cluster.
func (r *Redis) Batch(ctx context.Context, steps ...expiring.Step) ([]expiring.Value, error) {
	r.exchange("redis")
	pipe := r.client.Pipeline()
	read := make([]func() (expiring.Value, error), len(steps))
	for i, step := range steps {
		if err := checkSize(step.Value); err != nil {
			return nil, err
		}
		read[i] = r.queue(ctx, pipe, step)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, unavailable(err)
	}
	values := make([]expiring.Value, len(steps))
	for i := range steps {
		var err error
		if values[i], err = read[i](); err != nil {
			return nil, unavailable(err)
		}
	}
	return values, nil
}

// queue puts one step into the pipeline and returns how its answer is read. Scripts go as text: a
// pipeline cannot fall back when the server does not know one by its hash.
func (r *Redis) queue(ctx context.Context, pipe redis.Pipeliner, step expiring.Step) func() (expiring.Value, error) {
	name := r.name(step.Key)
	switch step.Do {
	case expiring.DoPut:
		answer := pipe.Set(ctx, name, flagged(step.Value), life(step.TTL))
		return func() (expiring.Value, error) { return expiring.Value{Found: true}, answer.Err() }
	case expiring.DoPutIfAbsent:
		answer := pipe.SetArgs(ctx, name, flagged(step.Value), redis.SetArgs{Mode: "NX", TTL: life(step.TTL)})
		return func() (expiring.Value, error) {
			if errors.Is(answer.Err(), redis.Nil) {
				return expiring.Value{Found: true}, nil
			}
			return expiring.Value{Found: true, First: true}, answer.Err()
		}
	case expiring.DoClaim:
		answer := claimScript.Eval(ctx, pipe, []string{name}, life(step.TTL).Milliseconds())
		return func() (expiring.Value, error) { return claimAnswer(answer) }
	default:
		answer := pipe.Get(ctx, name)
		return func() (expiring.Value, error) {
			raw, err := answer.Bytes()
			if errors.Is(err, redis.Nil) {
				return expiring.Value{}, nil
			}
			return parse(raw), err
		}
	}
}

// claimAnswer reads what the script says of the value before the claim.
func claimAnswer(answer *redis.Cmd) (expiring.Value, error) {
	text, err := answer.Text()
	if errors.Is(err, redis.Nil) {
		return expiring.Value{}, nil
	}
	if err != nil {
		return expiring.Value{}, err
	}
	before := parse([]byte(text))
	return expiring.Value{Data: before.Data, Found: before.Found, Claimed: before.Found, First: before.Found && !before.Claimed}, nil
}

// Batch implements expiring.Store. The database has no pipeline for these; the embedded pair pays
// with a few statements.
func (s *SQL) Batch(ctx context.Context, steps ...expiring.Step) ([]expiring.Value, error) {
	values := make([]expiring.Value, len(steps))
	for i, step := range steps {
		var err error
		if values[i], err = s.step(ctx, step); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (s *SQL) step(ctx context.Context, step expiring.Step) (v expiring.Value, err error) {
	switch step.Do {
	case expiring.DoPut:
		return expiring.Value{Found: true}, s.Put(ctx, step.Key, step.Value, step.TTL)
	case expiring.DoPutIfAbsent:
		v.Found = true
		v.First, err = s.PutIfAbsent(ctx, step.Key, step.Value, step.TTL)
		return v, err
	case expiring.DoClaim:
		return s.Claim(ctx, step.Key, step.TTL)
	case expiring.DoGet:
		found, err := s.Get(ctx, step.Key)
		if err != nil {
			return v, err
		}
		return found[0], nil
	}
	return v, fmt.Errorf("verb %d: %w", step.Do, fault.Invalid)
}
