package ephemeral_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/storage/storagetest"
)

const key = expiring.Key("idp:test:one")

func TestPutReplacesAndGetAnswersInOrder(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		ctx, s := t.Context(), e.Expiring
		must(t, s.Put(ctx, key, []byte("old"), time.Minute))
		must(t, s.Put(ctx, key, []byte("new"), time.Minute))
		must(t, s.Put(ctx, "idp:test:empty", nil, time.Minute))
		got, err := s.Get(ctx, "idp:test:absent", key, "idp:test:empty", key)
		must(t, err)
		if len(got) != 4 || got[0].Found || string(got[1].Data) != "new" || !got[2].Found || len(got[2].Data) != 0 || string(got[3].Data) != "new" {
			t.Errorf("Get = %+v", got)
		}
	})
}

func TestGetIsOneExchange(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		if _, err := e.Expiring.Get(t.Context(), "a", "b", "c"); err != nil || e.Exchanges.Load() != 1 {
			t.Errorf("Get of three keys took %d exchanges, error %v", e.Exchanges.Load(), err)
		}
	})
}

func TestValuesKeepEveryByte(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		value := make([]byte, 256)
		for i := range value {
			value[i] = byte(i)
		}
		must(t, e.Expiring.Put(t.Context(), key, value, time.Minute))
		swapped, err := e.Expiring.Swap(t.Context(), key, value, append(value, value...), 0)
		if err != nil || !swapped {
			t.Fatalf("Swap = %v, %v", swapped, err)
		}
		if got := get(t, e, key); !bytes.Equal(got.Data, append(value, value...)) {
			t.Errorf("got %x", got.Data)
		}
	})
}

func TestPutIfAbsentLeavesWhatIsThere(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		for i, want := range []bool{true, false} {
			stored, err := e.Expiring.PutIfAbsent(t.Context(), key, []byte{byte('a' + i)}, time.Minute)
			if err != nil || stored != want {
				t.Errorf("call %d: %v, %v; want %v", i, stored, err, want)
			}
		}
		if got := get(t, e, key); string(got.Data) != "a" {
			t.Errorf("got %q", got.Data)
		}
	})
}

func TestClaimTellsTheFirstFromTheReplay(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		must(t, e.Expiring.Put(t.Context(), key, []byte("code"), time.Minute))
		for i, want := range []bool{true, false, false} {
			v, err := e.Expiring.Claim(t.Context(), key, time.Hour)
			if err != nil || v.First != want || !v.Found || !v.Claimed || string(v.Data) != "code" {
				t.Errorf("claim %d = %+v, %v", i, v, err)
			}
		}
		if v := get(t, e, key); !v.Claimed || v.First {
			t.Errorf("Get after Claim = %+v", v)
		}
		must(t, e.Expiring.Put(t.Context(), key, []byte("another"), time.Minute))
		if v := get(t, e, key); v.Claimed {
			t.Errorf("a value that was put again is still claimed: %+v", v)
		}
	})
}

func TestClaimOfNothingFindsNothing(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		if v, err := e.Expiring.Claim(t.Context(), key, time.Minute); err != nil || v.Found || v.First || v.Claimed {
			t.Errorf("Claim = %+v, %v", v, err)
		}
	})
}

func TestSwapComparesAndKeepsTheClaim(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		ctx, s := t.Context(), e.Expiring
		swap := func(old, new string, want bool) {
			t.Helper()
			if done, err := s.Swap(ctx, key, []byte(old), []byte(new), time.Minute); err != nil || done != want {
				t.Errorf("Swap %q by %q = %v, %v; want %v", old, new, done, err, want)
			}
		}
		swap("", "x", false)
		must(t, s.Put(ctx, key, []byte("a"), time.Minute))
		swap("b", "c", false)
		swap("a", "b", true)
		_, err := s.Claim(ctx, key, time.Minute)
		must(t, err)
		swap("b", "", true)
		swap("", "c", true)
		if v := get(t, e, key); string(v.Data) != "c" || !v.Claimed {
			t.Errorf("Get = %+v", v)
		}
	})
}

func TestDeleteRemovesAndMayFindNothing(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		must(t, e.Expiring.Delete(t.Context(), key))
		must(t, e.Expiring.Put(t.Context(), key, []byte("a"), time.Minute))
		must(t, e.Expiring.Delete(t.Context(), key))
		if v := get(t, e, key); v.Found {
			t.Errorf("Get = %+v", v)
		}
	})
}

func TestCountCountsFromOne(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		for want := int64(1); want <= 3; want++ {
			if n, err := e.Expiring.Count(t.Context(), key, time.Minute); err != nil || n != want {
				t.Errorf("Count = %d, %v; want %d", n, err, want)
			}
		}
	})
}

// The short lives run out in real time, so that Redis is held to the same rules.
func TestEverythingExpires(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		const short = 40 * time.Millisecond
		ctx, s := t.Context(), e.Expiring
		must(t, s.Put(ctx, "idp:test:put", []byte("a"), short))
		_, err := s.PutIfAbsent(ctx, "idp:test:absent", []byte("a"), short)
		must(t, err)
		must(t, s.Put(ctx, "idp:test:claim", []byte("a"), time.Hour))
		_, err = s.Claim(ctx, "idp:test:claim", short)
		must(t, err)
		must(t, s.Put(ctx, "idp:test:swap", []byte("a"), time.Hour))
		_, err = s.Swap(ctx, "idp:test:swap", []byte("a"), []byte("b"), short)
		must(t, err)
		for _, key := range []expiring.Key{"idp:test:put", "idp:test:absent", "idp:test:claim", "idp:test:swap"} {
			waitGone(t, e, key)
			if v, err := s.Claim(ctx, key, time.Hour); err != nil || v.Found {
				t.Errorf("%s: Claim of what expired = %+v, %v", key, v, err)
			}
			if done, err := s.Swap(ctx, key, []byte("a"), []byte("b"), time.Hour); err != nil || done {
				t.Errorf("%s: Swap of what expired = %v, %v", key, done, err)
			}
			if stored, err := s.PutIfAbsent(ctx, key, []byte("c"), time.Hour); err != nil || !stored {
				t.Errorf("%s: PutIfAbsent over what expired = %v, %v", key, stored, err)
			}
			if v := get(t, e, key); string(v.Data) != "c" || v.Claimed {
				t.Errorf("%s: Get = %+v", key, v)
			}
		}
	})
}

func TestTheWindowOfACountEnds(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		const window = 40 * time.Millisecond
		_, err := e.Expiring.Count(t.Context(), key, window)
		must(t, err)
		eventually(t, func() bool {
			time.Sleep(2 * window) // a count does not prolong its window, so each try is a new one
			n, err := e.Expiring.Count(t.Context(), key, window)
			must(t, err)
			return n == 1
		})
	})
}

func TestSwapWithoutLifeKeepsTheRest(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		must(t, e.Expiring.Put(t.Context(), key, []byte("a"), 300*time.Millisecond))
		done, err := e.Expiring.Swap(t.Context(), key, []byte("a"), []byte("b"), 0)
		must(t, err)
		if !done && get(t, e, key).Found { // a machine that slept has lost the value by now
			t.Error("not swapped")
		}
		waitGone(t, e, key)
	})
}

func TestAReplayDoesNotProlong(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		must(t, e.Expiring.Put(t.Context(), key, []byte("a"), time.Hour))
		_, err := e.Expiring.Claim(t.Context(), key, 100*time.Millisecond)
		must(t, err)
		_, err = e.Expiring.Claim(t.Context(), key, time.Hour)
		must(t, err)
		waitGone(t, e, key)
	})
}

func TestTheEmbeddedStoreExpiresByTheInjectedClock(t *testing.T) {
	t.Parallel()
	e := storagetest.Open(t)
	must(t, e.Expiring.Put(t.Context(), key, []byte("a"), 30*time.Minute))
	e.Advance(29 * time.Minute)
	if !get(t, e, key).Found {
		t.Error("gone after 29 minutes")
	}
	e.Advance(time.Minute)
	if get(t, e, key).Found {
		t.Error("still there after 30 minutes")
	}
}

func TestValuesHaveABound(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		ctx, s := t.Context(), e.Expiring
		largest, tooLarge := make([]byte, 64<<10), make([]byte, 64<<10+1)
		must(t, s.Put(ctx, key, largest, time.Minute))
		if got := get(t, e, key); len(got.Data) != len(largest) {
			t.Errorf("got %d bytes", len(got.Data))
		}
		_, absent := s.PutIfAbsent(ctx, "idp:test:two", tooLarge, time.Minute)
		_, swap := s.Swap(ctx, key, largest, tooLarge, time.Minute)
		for verb, err := range map[string]error{"Put": s.Put(ctx, key, tooLarge, time.Minute), "PutIfAbsent": absent, "Swap": swap} {
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("%s of 64 KiB and one byte: %v", verb, err)
			}
		}
	})
}

// TestOneWinner races every single-use verb over two instances with pools of their own.
func TestOneWinner(t *testing.T) {
	t.Parallel()
	verbs := map[string]func(context.Context, expiring.Store, byte) (bool, error){
		"PutIfAbsent": func(ctx context.Context, s expiring.Store, i byte) (bool, error) {
			return s.PutIfAbsent(ctx, "idp:test:absent", []byte{i}, time.Minute)
		},
		"Claim": func(ctx context.Context, s expiring.Store, _ byte) (bool, error) {
			v, err := s.Claim(ctx, key, time.Minute)
			return v.First, err
		},
		"Swap": func(ctx context.Context, s expiring.Store, i byte) (bool, error) {
			return s.Swap(ctx, key, []byte("start"), []byte{i}, time.Minute)
		},
		"Count": func(ctx context.Context, s expiring.Store, _ byte) (bool, error) {
			n, err := s.Count(ctx, "idp:test:count", time.Minute)
			return n == 64, err
		},
	}
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		instances := []expiring.Store{e.Expiring, e.Second(t).Expiring}
		for name, verb := range verbs {
			must(t, e.Expiring.Put(t.Context(), key, []byte("start"), time.Minute))
			var wins atomic.Int64
			var group sync.WaitGroup
			for i := range byte(64) {
				group.Go(func() {
					won, err := verb(t.Context(), instances[i%2], i)
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if won {
						wins.Add(1)
					}
				})
			}
			group.Wait()
			if wins.Load() != 1 {
				t.Errorf("%s: %d winners of 64", name, wins.Load())
			}
		}
	})
}

func TestAStoreThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		ctx, s := t.Context(), e.Second(t)
		s.DB.Close()
		s.Expiring.Close()
		_, absent := s.Expiring.PutIfAbsent(ctx, key, nil, time.Minute)
		_, got := s.Expiring.Get(ctx, key)
		_, claim := s.Expiring.Claim(ctx, key, time.Minute)
		_, swap := s.Expiring.Swap(ctx, key, nil, nil, time.Minute)
		_, count := s.Expiring.Count(ctx, key, time.Minute)
		for verb, err := range map[string]error{
			"Put": s.Expiring.Put(ctx, key, nil, time.Minute), "PutIfAbsent": absent, "Get": got, "Claim": claim,
			"Swap": swap, "Delete": s.Expiring.Delete(ctx, key), "Count": count, "Ping": s.Expiring.Ping(ctx),
		} {
			if !errors.Is(err, fault.Unavailable) {
				t.Errorf("%s: %v", verb, err)
			}
		}
	})
}

func get(t *testing.T, e storagetest.Engine, key expiring.Key) expiring.Value {
	t.Helper()
	values, err := e.Expiring.Get(t.Context(), key)
	must(t, err)
	return values[0]
}

func waitGone(t *testing.T, e storagetest.Engine, key expiring.Key) {
	t.Helper()
	eventually(t, func() bool { return !get(t, e, key).Found })
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still waiting after 20 seconds")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestABatchIsOneExchangeAndEachStepAtomic(t *testing.T) {
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		ctx := t.Context()
		once, code, session, note := expiring.Replay.Of("jti"), expiring.Grant.Of("code"), expiring.Session.Of("s"), expiring.Form.Of("f")
		if err := e.Expiring.Put(ctx, code, []byte("grant"), time.Minute); err != nil {
			t.Fatal(err)
		}
		steps := []expiring.Step{
			{Do: expiring.DoPutIfAbsent, Key: once, TTL: time.Minute},
			{Do: expiring.DoClaim, Key: code, TTL: time.Minute},
			{Do: expiring.DoGet, Key: session},
			{Do: expiring.DoPut, Key: note, Value: []byte("note"), TTL: time.Minute},
			{Do: expiring.DoGet, Key: note},
		}
		before := e.Exchanges.Load()
		first, err := e.Expiring.Batch(ctx, steps...)
		if err != nil {
			t.Fatal(err)
		}
		if n := e.Exchanges.Load() - before; n != 1 {
			t.Errorf("%d exchanges", n)
		}
		if !first[0].First || !first[1].First || string(first[1].Data) != "grant" || first[2].Found || string(first[4].Data) != "note" {
			t.Errorf("first time: %+v", first)
		}
		second, err := e.Expiring.Batch(ctx, steps...)
		if err != nil {
			t.Fatal(err)
		}
		if second[0].First || second[1].First || !second[1].Found {
			t.Errorf("second time: %+v", second)
		}
	})
}
