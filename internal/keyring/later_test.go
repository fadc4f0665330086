package keyring_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/storage/storagetest"
)

var edLater = keyring.Options{Algs: map[keyring.Use][]string{keyring.Tokens: {"ES256"}, keyring.Assertions: {"ES256"}},
	Later: map[keyring.Use][]string{keyring.Tokens: {"EdDSA"}}, Schedule: schedule}

func openLater(t *testing.T, root keyring.Root, s keyring.Store, now func() time.Time) *keyring.Keyring {
	t.Helper()
	o := edLater
	o.Now = now
	k, err := keyring.Open(t.Context(), root, s, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// algsOf are the algorithms of what is published.
func algsOf(k *keyring.Keyring, use keyring.Use) []string {
	var out []string
	for _, key := range k.Public(use).Keys {
		out = append(out, key.Algorithm)
	}
	slices.Sort(out)
	return out
}

func TestKeysOfLaterAreMadeForTheFirstSignature(t *testing.T) {
	t.Parallel()
	c, root, store := &clock{t: start}, newRoot(t), storagetest.Open(t).Store
	k := openLater(t, root, store, c.now)
	if got := algsOf(k, keyring.Tokens); !slices.Equal(got, []string{"ES256"}) {
		t.Fatalf("published at the start: %v", got)
	}
	if _, err := k.Sign(keyring.Assertions, "EdDSA", "JWT", nil); !errors.Is(err, fault.NotFound) {
		t.Errorf("a use without the algorithm: %v", err)
	}
	token, err := k.Sign(keyring.Tokens, "EdDSA", "JWT", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Verify(keyring.Tokens, []jose.SignatureAlgorithm{jose.EdDSA}, "JWT", token); err != nil {
		t.Error(err)
	}
	if got := algsOf(k, keyring.Tokens); !slices.Equal(got, []string{"ES256", "EdDSA"}) {
		t.Errorf("published after the first signature: %v", got)
	}
	// From here on the family lives like every other: its next key is published before it signs.
	first, _, err := k.Signing(keyring.Tokens, "EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	c.advance(schedule.Roll - schedule.Ahead)
	if err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	still, _, err := k.Signing(keyring.Tokens, "EdDSA")
	if got := algsOf(k, keyring.Tokens); err != nil || still != first || !slices.Equal(got, []string{"ES256", "ES256", "EdDSA", "EdDSA"}) {
		t.Errorf("before the change: %s signs of %v, %v", still, got, err)
	}
	c.advance(schedule.Ahead)
	if next, _, err := k.Signing(keyring.Tokens, "EdDSA"); err != nil || next == first {
		t.Errorf("after the change: %s, %v", next, err)
	}
}

func TestInstancesAgreeOnTheFirstKeyOfLater(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		root, c := newRoot(t), &clock{t: start}
		behind := func() time.Time { return c.now().Add(-time.Second) }
		kids := make([]string, 6)
		var wg sync.WaitGroup
		for i, now := range []func() time.Time{c.now, behind, c.now} {
			k := openLater(t, root, e.Second(t).Store, now)
			for j := range 2 {
				wg.Go(func() {
					var err error
					if kids[2*i+j], _, err = k.Signing(keyring.Tokens, "EdDSA"); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		for _, kid := range kids {
			if kid != kids[0] || kid == "" {
				t.Fatalf("instances sign with different first keys: %v", kids)
			}
		}
	})
}

func TestEveryAlgorithmHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	algs := []string{"ES256", "RS256", "PS256", "EdDSA"}
	k, err := keyring.Open(t.Context(), newRoot(t), storagetest.Open(t).Store, keyring.Options{Now: (&clock{t: start}).now})
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, alg := range algs {
		if tokens[alg], err = k.Sign(keyring.Tokens, alg, "JWT", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for _, made := range algs {
		for _, accepted := range algs {
			_, _, err := k.Verify(keyring.Tokens, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(accepted)}, "JWT", tokens[made])
			if (err == nil) != (made == accepted) {
				t.Errorf("%s where %s is accepted: %v", made, accepted, err)
			}
		}
	}
	if n := len(kids(k, keyring.Tokens)); n != len(algs) {
		t.Errorf("%d keys are published for %d algorithms", n, len(algs))
	}
}

func TestFirstKeyOfLaterThatCannotBeStored(t *testing.T) {
	t.Parallel()
	store := &failing{Store: storagetest.Open(t).Store}
	k := openLater(t, newRoot(t), store, (&clock{t: start}).now)
	store.err = fault.Unavailable
	if _, err := k.Sign(keyring.Tokens, "EdDSA", "JWT", nil); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Sign without a database: %v", err)
	}
	store.err = nil
	if _, err := k.Sign(keyring.Tokens, "EdDSA", "JWT", nil); err != nil {
		t.Errorf("Sign afterwards: %v", err)
	}
}
