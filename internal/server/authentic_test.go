package server

import (
	"bytes"
	"testing"
	"time"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/storage/storagetest"
)

// Whoever can write to the store of expiring values cannot make a session: a value without our MAC,
// changed, or moved to another key is not there.
func TestForgedValuesAreNotThere(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		store := newAuthentic(e.Expiring, []byte("a key that Redis never sees"))
		ctx := t.Context()
		mine, other := expiring.Session.Of("mine"), expiring.Session.Of("other")
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		see := func(key expiring.Key) expiring.Value {
			t.Helper()
			v, err := store.Get(ctx, key)
			check(err)
			return v[0]
		}
		check(store.Put(ctx, mine, []byte(`{"account":"a1"}`), time.Minute))
		if v := see(mine); !v.Found || string(v.Data) != `{"account":"a1"}` {
			t.Fatalf("own value reads as %+v", v)
		}
		raw, err := e.Expiring.Get(ctx, mine)
		check(err)
		for name, forged := range map[string][]byte{
			"no MAC": []byte(`{"account":"a2"}`), "empty": {}, "changed": bytes.Replace(raw[0].Data, []byte("a1"), []byte("a2"), 1),
			"MAC cut": raw[0].Data[:len(raw[0].Data)-1], "another key": raw[0].Data,
		} {
			check(e.Expiring.Put(ctx, other, forged, time.Minute))
			if v := see(other); v.Found || v.Data != nil {
				t.Errorf("%s: reads as %+v", name, v)
			}
			claimed, err := store.Claim(ctx, other, time.Minute)
			check(err)
			if claimed.Found || claimed.First {
				t.Errorf("%s: claims as %+v", name, claimed)
			}
		}
	})
}

func TestAuthenticValuesKeepTheContract(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		store := newAuthentic(e.Expiring, []byte("key"))
		ctx, key := t.Context(), expiring.Grant.Of("code")
		if ok, err := store.PutIfAbsent(ctx, key, []byte("one"), time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := store.Swap(ctx, key, []byte("one"), []byte("two"), 0); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := store.Swap(ctx, key, []byte("one"), []byte("three"), 0); ok || err != nil {
			t.Fatal("an old value was replaced", err)
		}
		first, err := store.Claim(ctx, key, time.Minute)
		if err != nil || !first.First || string(first.Data) != "two" {
			t.Fatalf("%+v %v", first, err)
		}
		second, err := store.Claim(ctx, key, time.Minute)
		if err != nil || second.First || !second.Claimed || string(second.Data) != "two" {
			t.Fatalf("%+v %v", second, err)
		}
	})
}
