package ephemeral

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/storage/sqldb"
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

// Batch implements expiring.Store: one transaction, which is more than the contract asks for.
func (s *SQL) Batch(ctx context.Context, steps ...expiring.Step) ([]expiring.Value, error) {
	if len(steps) == 0 {
		return nil, nil
	}
	statements, read := make([]sqldb.Statement, len(steps)), make([]func() expiring.Value, len(steps))
	for i, step := range steps {
		if err := checkSize(step.Value); err != nil {
			return nil, err
		}
		statements[i], read[i] = s.statement(step)
	}
	if err := s.db.Batch(ctx, statements...); err != nil {
		return nil, unreachable(err)
	}
	values := make([]expiring.Value, len(steps))
	for i := range steps {
		values[i] = read[i]()
	}
	return values, nil
}

// statement is one step, and how its answer is read.
func (s *SQL) statement(step expiring.Step) (sqldb.Statement, func() expiring.Value) {
	now := s.now()
	rows, stored := new([]row), new(int64)
	switch step.Do {
	case expiring.DoPut:
		return sqldb.Statement{SQL: putSQL, Args: []any{step.Key, present(step.Value), now.Add(step.TTL)}},
			func() expiring.Value { return expiring.Value{Found: true} }
	case expiring.DoPutIfAbsent:
		return sqldb.Statement{SQL: putIfAbsentSQL, Args: []any{step.Key, present(step.Value), now.Add(step.TTL), now}, Rows: stored},
			func() expiring.Value { return expiring.Value{Found: true, First: *stored == 1} }
	case expiring.DoClaim:
		return sqldb.Statement{SQL: claimSQL, Args: []any{step.Key, now.Add(step.TTL), now}, Scan: sqldb.Into(rows, scanRow)},
			func() expiring.Value { return claimOf(*rows) }
	default:
		return sqldb.Statement{SQL: getSQL + `$2)`, Args: []any{now, step.Key}, Scan: sqldb.Into(rows, scanRow)},
			func() expiring.Value { return valueOf(step.Key, *rows) }
	}
}
