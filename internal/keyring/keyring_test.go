package keyring_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/storage"
	"eid.example/idp/storage/storagetest"
)

var (
	start    = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	ecOnly   = map[keyring.Use][]string{keyring.Tokens: {"ES256"}, keyring.Assertions: {"ES256"}}
	es256    = []jose.SignatureAlgorithm{jose.ES256}
	schedule = keyring.Schedule{Ahead: time.Hour, Roll: 24 * time.Hour, Keep: 2 * time.Hour}
)

// clock is a time that only the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newRoot(t testing.TB) keyring.Root {
	t.Helper()
	root, err := keyring.LoadOrCreateRoot(t.TempDir() + "/root")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func open(t testing.TB, root keyring.Root, s keyring.Store, c *clock) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Open(t.Context(), root, s, keyring.Options{Now: c.now, Algs: ecOnly, Schedule: schedule})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newKeyring is a keyring with EC keys only: an RSA key takes long to make.
func newKeyring(t testing.TB) *keyring.Keyring {
	t.Helper()
	return open(t, newRoot(t), storagetest.Open(t).Store, &clock{t: start})
}

func refresh(t testing.TB, keyrings ...*keyring.Keyring) {
	t.Helper()
	for _, k := range keyrings {
		if err := k.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func sign(t testing.TB, k *keyring.Keyring, use keyring.Use, typ, payload string) string {
	t.Helper()
	token, err := k.Sign(use, "ES256", typ, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func kids(k *keyring.Keyring, use keyring.Use) []string {
	var ids []string
	for _, key := range k.Public(use).Keys {
		ids = append(ids, key.KeyID)
	}
	return ids
}

func signingKID(t testing.TB, k *keyring.Keyring) string {
	t.Helper()
	kid, _, err := k.Signing(keyring.Tokens, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	return kid
}

func TestFirstStartCreatesTheKeysOfEveryUseAndKeepsThem(t *testing.T) {
	t.Parallel()
	e, root, c := storagetest.Open(t), newRoot(t), &clock{t: start}
	first, err := keyring.Open(t.Context(), root, e.Store, keyring.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	want := map[keyring.Use]int{keyring.Tokens: 2, keyring.Assertions: 1, keyring.Checkpoints: 1}
	for use, n := range want {
		if got := len(first.Public(use).Keys); got != n {
			t.Errorf("%s: %d keys, want %d", use, got, n)
		}
	}
	if _, key, err := first.Signing(keyring.Tokens, "RS256"); err != nil || key.(*rsa.PrivateKey).N.BitLen() != 2048 {
		t.Errorf("RS256: %v, %v", key, err)
	}
	if _, key, err := first.Signing(keyring.Tokens, "ES256"); err != nil || key.(*ecdsa.PrivateKey).Curve.Params().Name != "P-256" {
		t.Errorf("ES256: %v", err)
	}
	for _, alg := range []string{"ES256", "RS256"} {
		token, err := first.Sign(keyring.Tokens, alg, "JWT", []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := first.Verify(keyring.Tokens, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)}, "JWT", token); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	again, err := keyring.Open(t.Context(), root, e.Second(t).Store, keyring.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	before, etag := first.JWKS(keyring.Tokens)
	after, etagAfter := again.JWKS(keyring.Tokens)
	if string(before) != string(after) || etag != etagAfter {
		t.Errorf("a restart changed the keys:\n%s %s\n%s %s", etag, before, etagAfter, after)
	}
}

// F21: the library publishes whatever it is given; a private key would leak "d".
func TestPublishedDocumentsNeverHoldPrivateMembers(t *testing.T) {
	t.Parallel()
	e, c := storagetest.Open(t), &clock{t: start}
	k, err := keyring.Open(t.Context(), newRoot(t), e.Store, keyring.Options{Now: c.now, Schedule: schedule})
	if err != nil {
		t.Fatal(err)
	}
	c.advance(schedule.Roll - schedule.Ahead) // the next ES256 and RS256 are published
	refresh(t, k)
	c.advance(schedule.Ahead + schedule.Keep) // the first ones are in the archive
	refresh(t, k)
	archive, _ := k.Archive()
	documents := map[string][]byte{"archive": archive}
	for _, use := range []keyring.Use{keyring.Tokens, keyring.Assertions, keyring.Checkpoints} {
		documents[string(use)], _ = k.JWKS(use)
		for _, key := range k.Public(use).Keys {
			if !key.IsPublic() {
				t.Errorf("%s: Public holds the private key %s", use, key.KeyID)
			}
		}
	}
	allowed := map[string]bool{"kty": true, "kid": true, "use": true, "alg": true, "crv": true, "x": true, "y": true, "n": true, "e": true,
		"purpose": true, "nbf": true, "exp": true}
	for name, body := range documents {
		var set struct{ Keys []map[string]any }
		if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) == 0 {
			t.Fatalf("%s: %v: %s", name, err, body)
		}
		seen := map[any]bool{}
		for _, key := range set.Keys {
			for member := range key {
				if !allowed[member] {
					t.Errorf("%s: member %q in %v", name, member, key)
				}
			}
			if key["use"] != "sig" || key["alg"] == "" || key["alg"] == nil || seen[key["kid"]] {
				t.Errorf("%s: use, alg or a unique kid is missing: %v", name, key)
			}
			seen[key["kid"]] = true
		}
	}
}

func TestKeysAreSealedInTheDatabase(t *testing.T) {
	t.Parallel()
	e, c := storagetest.Open(t), &clock{t: start}
	open(t, newRoot(t), e.Store, c)
	records, err := e.Store.Keys(t.Context())
	if err != nil || len(records) != 2 {
		t.Fatal(records, err)
	}
	for _, r := range records {
		if strings.Contains(string(r.Public), `"d"`) || len(r.Sealed) < 100 {
			t.Errorf("key %s: public %s, %d bytes sealed", r.ID, r.Public, len(r.Sealed))
		}
	}
}

// Two instances share a database; both sign and verify all the time while keys come and go.
func TestRotationIsNeverNoticed(t *testing.T) {
	t.Parallel()
	e, root, c := storagetest.Open(t), newRoot(t), &clock{t: start}
	a, b := open(t, root, e.Store, c), open(t, root, e.Second(t).Store, c)

	type issued struct {
		token string
		at    time.Time
	}
	var alive []issued
	used := map[string]bool{}
	publishedSince := map[string]time.Time{}
	const step = 10 * time.Minute
	for range int(5 * schedule.Roll / step) {
		for _, kid := range kids(a, keyring.Tokens) {
			if _, known := publishedSince[kid]; !known {
				publishedSince[kid] = c.now()
			}
		}
		alive = append(alive, issued{sign(t, a, keyring.Tokens, "JWT", "a"), c.now()}, issued{sign(t, b, keyring.Tokens, "JWT", "b"), c.now()})
		for len(alive) > 0 && c.now().Sub(alive[0].at) > time.Hour { // the longest token lives an hour
			alive = alive[1:]
		}
		for _, v := range []*keyring.Keyring{a, b} {
			for _, old := range alive {
				_, kid, err := v.Verify(keyring.Tokens, es256, "JWT", old.token)
				if err != nil {
					t.Fatalf("%v: token of %v: %v", c.now(), old.at, err)
				}
				if !used[kid] && len(used) > 0 && old.at.Sub(publishedSince[kid]) < schedule.Ahead-step {
					t.Errorf("key %s signed at %v but was published only since %v", kid, old.at, publishedSince[kid])
				}
				used[kid] = true
			}
		}
		c.advance(step)
		refresh(t, a) // b is always one step behind
		if n := len(kids(a, keyring.Tokens)); n > 3 {
			t.Fatalf("%v: %d keys published", c.now(), n)
		}
		if c.now().Sub(start)%(2*step) == 0 {
			refresh(t, b)
		}
	}
	if len(used) != 5 {
		t.Errorf("%d keys signed in five periods", len(used))
	}
}

func TestRetiredKeysGoToTheArchiveAndLoseTheirPrivatePart(t *testing.T) {
	t.Parallel()
	e, root, c := storagetest.Open(t), newRoot(t), &clock{t: start}
	k := open(t, root, e.Store, c)
	first := signingKID(t, k)
	token := sign(t, k, keyring.Tokens, "JWT", "old")

	c.advance(schedule.Roll - schedule.Ahead)
	refresh(t, k)
	if got := signingKID(t, k); got != first || len(kids(k, keyring.Tokens)) != 2 {
		t.Fatalf("the next key has to be published and not used: signing %s of %v", got, kids(k, keyring.Tokens))
	}
	c.advance(schedule.Ahead)
	if got := signingKID(t, k); got == first {
		t.Error("the next key does not sign when its time has come")
	}
	if _, _, err := k.Verify(keyring.Tokens, es256, "JWT", token); err != nil {
		t.Errorf("a token of the previous key: %v", err)
	}
	c.advance(schedule.Keep)
	refresh(t, k)
	if _, _, err := k.Verify(keyring.Tokens, es256, "JWT", token); !errors.Is(err, keyring.ErrToken) {
		t.Errorf("a token of an archived key: %v", err)
	}
	records, err := e.Store.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if (r.ID == first) != (len(r.Sealed) == 0) && r.Use == keyring.Tokens {
			t.Errorf("key %s: %d bytes sealed, retired %v", r.ID, len(r.Sealed), r.RetiredAt)
		}
	}
	body, _ := k.Archive()
	var archive jose.JSONWebKeySet
	var times struct {
		Keys []struct {
			KID      string `json:"kid"`
			Purpose  string
			NBF, EXP int64
		}
	}
	if err := errors.Join(json.Unmarshal(body, &archive), json.Unmarshal(body, &times)); err != nil {
		t.Fatal(err)
	}
	for i, key := range times.Keys {
		if key.KID != first {
			continue
		}
		if key.Purpose != "tokens" || key.NBF != start.Unix() || key.EXP != start.Add(schedule.Roll).Unix() {
			t.Errorf("times of the archived key: %+v", key)
		}
		jws, err := jose.ParseSignedCompact(token, es256)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jws.Verify(archive.Keys[i].Key); err != nil {
			t.Errorf("evidence does not verify with the archive: %v", err)
		}
		return
	}
	t.Errorf("the first key is not in the archive: %s", body)
}

func TestLongOutageStillPublishesBeforeUse(t *testing.T) {
	t.Parallel()
	e, root, c := storagetest.Open(t), newRoot(t), &clock{t: start}
	first := signingKID(t, open(t, root, e.Store, c))
	c.advance(10 * schedule.Roll)
	k := open(t, root, e.Store, c)
	if got := signingKID(t, k); got != first || len(kids(k, keyring.Tokens)) != 2 {
		t.Errorf("after an outage %s signs of %v, want %s until the next key was published for a while", got, kids(k, keyring.Tokens), first)
	}
	c.advance(schedule.Ahead)
	if got := signingKID(t, k); got == first {
		t.Error("the overdue key signs on")
	}
}

func TestInstancesThatStartTogetherAgreeOnTheKeys(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		root, c := newRoot(t), &clock{t: start}
		const instances = 4
		documents := make([]string, instances)
		var wg sync.WaitGroup
		for i := range instances {
			store := e.Second(t).Store
			wg.Go(func() {
				k, err := keyring.Open(t.Context(), root, store, keyring.Options{Now: c.now, Algs: ecOnly})
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := k.JWKS(keyring.Tokens)
				documents[i] = string(body)
			})
		}
		wg.Wait()
		for _, d := range documents {
			if d != documents[0] || d == "" {
				t.Errorf("instances publish different keys:\n%s\n%s", documents[0], d)
			}
		}
	})
}

func TestWrongRootKeyIsAClearError(t *testing.T) {
	t.Parallel()
	e, c := storagetest.Open(t), &clock{t: start}
	open(t, newRoot(t), e.Store, c)
	_, err := keyring.Open(t.Context(), newRoot(t), e.Store, keyring.Options{Now: c.now, Algs: ecOnly})
	if !errors.Is(err, keyring.ErrWrongRoot) || !strings.Contains(err.Error(), "another root key") {
		t.Errorf("Open with another root key: %v", err)
	}
}

func TestAlteredKeysAreRefused(t *testing.T) {
	t.Parallel()
	alter := map[string]string{
		"a flipped bit of the seal":    `UPDATE signing_keys SET sealed = $1 WHERE use_for = 'tokens'`,
		"another use":                  `UPDATE signing_keys SET use_for = 'checkpoints' WHERE use_for = 'tokens'`,
		"another algorithm":            `UPDATE signing_keys SET alg = 'RS256' WHERE use_for = 'tokens'`,
		"another key's public part":    `UPDATE signing_keys SET public = (SELECT public FROM signing_keys WHERE use_for = 'assertions') WHERE use_for = 'tokens'`,
		"another key's private part":   `UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE use_for = 'assertions') WHERE use_for = 'tokens'`,
		"a public part that is no key": `UPDATE signing_keys SET public = 'x' WHERE use_for = 'tokens'`,
	}
	for name, sql := range alter {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, root, c := storagetest.Open(t), newRoot(t), &clock{t: start}
			open(t, root, e.Store, c)
			var args []any
			if strings.Contains(sql, "$1") {
				records, err := e.Store.Keys(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					if r.Use == keyring.Tokens {
						r.Sealed[len(r.Sealed)/2] ^= 1
						args = []any{r.Sealed}
					}
				}
			}
			if _, err := e.DB.Exec(t.Context(), sql, args...); err != nil {
				t.Fatal(err)
			}
			if _, err := keyring.Open(t.Context(), root, e.Store, keyring.Options{Now: c.now, Algs: ecOnly}); err == nil {
				t.Error("the altered key was accepted")
			}
		})
	}
}

func TestFailedRefreshKeepsServing(t *testing.T) {
	t.Parallel()
	store := &failing{Store: storagetest.Open(t).Store}
	k := open(t, newRoot(t), store, &clock{t: start})
	store.err = fault.Unavailable
	if err := k.Refresh(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Refresh: %v", err)
	}
	if _, _, err := k.Verify(keyring.Tokens, es256, "JWT", sign(t, k, keyring.Tokens, "JWT", "{}")); err != nil {
		t.Error(err)
	}
}

type failing struct {
	*storage.Store
	err error
}

func (f *failing) Keys(ctx context.Context) ([]keyring.Record, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Store.Keys(ctx)
}

func TestRunFollowsTheKeysOfOtherInstances(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	synctest.Test(t, func(t *testing.T) {
		store := &shared{}
		o := keyring.Options{Now: time.Now, Algs: map[keyring.Use][]string{keyring.Tokens: {"ES256"}}, Schedule: schedule}
		k, err := keyring.Open(t.Context(), root, store, o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		time.Sleep(schedule.Roll - schedule.Ahead + keyring.Poll)
		synctest.Wait()
		if n := len(kids(k, keyring.Tokens)); n != 2 {
			t.Errorf("%d keys published an hour before the change, want 2", n)
		}
		cancel()
		<-done
	})
}

func TestNoKeyForAnAlgorithmIsNotFound(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	if _, _, err := k.Signing(keyring.Tokens, "RS256"); !errors.Is(err, fault.NotFound) {
		t.Errorf("Signing: %v", err)
	}
	if _, err := k.Sign(keyring.Checkpoints, "ES256", "", nil); !errors.Is(err, fault.NotFound) {
		t.Errorf("Sign: %v", err)
	}
	_, err := keyring.Open(t.Context(), newRoot(t), storagetest.Open(t).Store,
		keyring.Options{Now: time.Now, Algs: map[keyring.Use][]string{keyring.Tokens: {"HS256"}}})
	if !errors.Is(err, fault.Invalid) {
		t.Errorf("Open with HS256: %v", err)
	}
}

func BenchmarkSign(b *testing.B) {
	k := newKeyring(b)
	payload := []byte(fmt.Sprintf(`{"sub":%q}`, strings.Repeat("x", 300)))
	for b.Loop() {
		if _, err := k.Sign(keyring.Tokens, "ES256", "JWT", payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	k := newKeyring(b)
	token := sign(b, k, keyring.Tokens, "JWT", strings.Repeat("x", 300))
	for b.Loop() {
		if _, _, err := k.Verify(keyring.Tokens, es256, "JWT", token); err != nil {
			b.Fatal(err)
		}
	}
}
