package ephemeral

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
)

// Each script is one atomic step on one key, so that it also runs on a Redis Cluster.
var (
	//go:embed claim.lua
	claimText string
	//go:embed swap.lua
	swapText string
	//go:embed count.lua
	countText string

	claimScript = redis.NewScript(claimText)
	swapScript  = redis.NewScript(swapText)
	countScript = redis.NewScript(countText)
)

// A value is stored as one flag byte followed by the data.
const (
	unclaimed = '0'
	claimed   = '1'
)

// Options of NewRedis.
type Options struct {
	// Prefix stands before every key; tests use it to keep apart.
	Prefix string
	// Exchange, when set, is called once per exchange with the store (tests, metrics).
	Exchange func(what string)
	// Timeout bounds each read and write; 0 means 100 ms. Connecting may take five times as long.
	// read_timeout, write_timeout and dial_timeout in the address go before it.
	Timeout time.Duration
}

// Redis keeps values in a Redis server, or in a Redis Cluster. It is safe for concurrent use.
type Redis struct {
	client   redis.UniversalClient
	prefix   string
	exchange func(string)
}

// NewRedis connects to redis://[user:password@]host:port[/database], rediss:// for TLS. Further
// nodes (?addr=host:port&addr=...) make it a Cluster. An address that cannot be read is
// fault.Invalid, a server that does not answer fault.Unavailable.
func NewRedis(ctx context.Context, address string, o Options) (*Redis, error) {
	silence()
	client, err := newClient(address, o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("redis address: %w", fault.Invalid) // the address may hold a password
	}
	r := &Redis{client: client, prefix: o.Prefix, exchange: o.Exchange}
	if r.exchange == nil {
		r.exchange = func(string) {}
	}
	if err := r.Ping(ctx); err != nil {
		client.Close() // the first error is the one that counts
		return nil, err
	}
	return r, nil
}

// silence stops the library from writing to standard error in a form of its own: whatever it has to
// say also comes back as an error.
var silence = sync.OnceFunc(func() { redis.SetLogger(noLog{}) })

type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

// newClient never lets the library try again by itself: a claim whose answer was lost would come
// back as a replay.
func newClient(address string, timeout time.Duration) (redis.UniversalClient, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if timeout == 0 {
		timeout = 100 * time.Millisecond
	}
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if u.Query().Has("addr") {
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, err
		}
		setTimeouts(timeout, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
		o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = -1, 1, true
		o.DisableIdentity, o.MaintNotificationsConfig = true, quiet
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	setTimeouts(timeout, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = -1, 1, true
	o.DisableIdentity, o.MaintNotificationsConfig = true, quiet
	return redis.NewClient(o), nil
}

func setTimeouts(timeout time.Duration, dial, read, write, pool *time.Duration) {
	for _, each := range []struct {
		field *time.Duration
		value time.Duration
	}{{dial, 5 * timeout}, {read, timeout}, {write, timeout}, {pool, 5 * timeout}} {
		if *each.field == 0 {
			*each.field = each.value
		}
	}
}

// Ping asks whether the server answers.
func (r *Redis) Ping(ctx context.Context) error { return unavailable(r.client.Ping(ctx).Err()) }

// Close closes all connections.
func (r *Redis) Close() error { return r.client.Close() }

// Put implements expiring.Store.
func (r *Redis) Put(ctx context.Context, key expiring.Key, value []byte, ttl time.Duration) error {
	if err := checkSize(value); err != nil {
		return err
	}
	r.exchange("redis")
	return unavailable(r.client.Set(ctx, r.name(key), flagged(value), life(ttl)).Err())
}

// PutIfAbsent implements expiring.Store.
func (r *Redis) PutIfAbsent(ctx context.Context, key expiring.Key, value []byte, ttl time.Duration) (bool, error) {
	if err := checkSize(value); err != nil {
		return false, err
	}
	r.exchange("redis")
	err := r.client.SetArgs(ctx, r.name(key), flagged(value), redis.SetArgs{Mode: "NX", TTL: life(ttl)}).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, unavailable(err)
}

// Get implements expiring.Store. The keys may lie on several nodes of a Cluster.
func (r *Redis) Get(ctx context.Context, keys ...expiring.Key) ([]expiring.Value, error) {
	r.exchange("redis")
	pipe := r.client.Pipeline()
	answers := make([]*redis.StringCmd, len(keys))
	for i, key := range keys {
		answers[i] = pipe.Get(ctx, r.name(key))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, unavailable(err)
	}
	values := make([]expiring.Value, len(keys))
	for i, answer := range answers {
		raw, err := answer.Bytes()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, unavailable(err)
		}
		values[i] = parse(raw)
	}
	return values, nil
}

// Claim implements expiring.Store.
func (r *Redis) Claim(ctx context.Context, key expiring.Key, ttl time.Duration) (expiring.Value, error) {
	r.exchange("redis")
	value, err := claimAnswer(claimScript.Run(ctx, r.client, []string{r.name(key)}, life(ttl).Milliseconds()))
	return value, unavailable(err)
}

// Swap implements expiring.Store.
func (r *Redis) Swap(ctx context.Context, key expiring.Key, old, new []byte, ttl time.Duration) (bool, error) {
	if err := checkSize(old, new); err != nil {
		return false, err
	}
	milliseconds := int64(0)
	if ttl != 0 {
		milliseconds = life(ttl).Milliseconds()
	}
	r.exchange("redis")
	done, err := swapScript.Run(ctx, r.client, []string{r.name(key)}, old, new, milliseconds).Bool()
	return done, unavailable(err)
}

// Delete implements expiring.Store.
func (r *Redis) Delete(ctx context.Context, key expiring.Key) error {
	r.exchange("redis")
	return unavailable(r.client.Del(ctx, r.name(key)).Err())
}

// Count implements expiring.Store.
func (r *Redis) Count(ctx context.Context, key expiring.Key, window time.Duration) (int64, error) {
	r.exchange("redis")
	n, err := countScript.Run(ctx, r.client, []string{r.name(key)}, life(window).Milliseconds()).Int64()
	return n, unavailable(err)
}

func (r *Redis) name(key expiring.Key) string { return r.prefix + string(key) }

// life is ttl in whole milliseconds, at least one: to Redis a life of zero is an error or for ever.
func life(ttl time.Duration) time.Duration {
	return max(ttl.Truncate(time.Millisecond), time.Millisecond)
}

func flagged(value []byte) []byte {
	return append(append(make([]byte, 0, len(value)+1), unclaimed), value...)
}

func parse(raw []byte) expiring.Value {
	if len(raw) == 0 {
		return expiring.Value{}
	}
	return expiring.Value{Data: raw[1:], Found: true, Claimed: raw[0] == claimed}
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: redis: %w", fault.Unavailable, err)
}
