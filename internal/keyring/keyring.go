package keyring

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
)

// Keyring keeps the signing keys in memory, opened once. It is safe for concurrent use.
type Keyring struct {
	box      *box
	store    Store
	now      func() time.Time
	log      *slog.Logger
	algs     map[Use][]string
	later    map[Use][]string
	schedule Schedule

	refreshing sync.Mutex // one refresh at a time
	founding   sync.Mutex // one first key at a time
	state      atomic.Pointer[state]
	signers    sync.Map // signerName -> jose.Signer
}

// Options of Open.
type Options struct {
	Now func() time.Time // required
	Log *slog.Logger     // default: slog.Default
	// Algs says which keys there are from the start. Default: tokens ES256 and RS256 (2048 bits),
	// else ES256.
	Algs map[Use][]string
	// Later says which keys are made when something is to be signed with them for the first time.
	// Unless Prepare was called in time, the first of a family is not published before use, because
	// nothing older can sign in its place; its successors are. Default, where Algs is not given either: tokens PS256 and EdDSA.
	Later map[Use][]string
	// Schedule is the life of a key.
	Schedule Schedule
}

// Poll is how often Run looks for keys that another instance added. It is far below
// Schedule.Ahead, so every instance publishes a key before anyone signs with it.
const Poll = 30 * time.Second

var defaultAlgs = map[Use][]string{
	Tokens:      {"ES256", "RS256"},
	Assertions:  {"ES256"},
	Checkpoints: {"ES256"},
}

// defaultLater keeps the first start fast, and the published set free of kinds of keys that no
// client needs: old libraries stumble over them.
var defaultLater = map[Use][]string{Tokens: {"PS256", "EdDSA"}}

// creation is how long the first signature of a family may wait for its key, in all.
const creation = 10 * time.Second

// Open reads the keys and creates those that are missing. A root key that does not open what the
// database holds is ErrWrongRoot; a sealed key that was altered is ErrSealed.
func Open(ctx context.Context, root Root, store Store, o Options) (*Keyring, error) {
	k := &Keyring{box: newBox(root), store: store, now: o.Now, log: o.Log, algs: o.Algs, later: o.Later, schedule: o.Schedule.withDefaults()}
	if k.log == nil {
		k.log = slog.Default()
	}
	if k.algs == nil {
		k.algs = defaultAlgs
		if k.later == nil {
			k.later = defaultLater
		}
	}
	if err := k.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return k, nil
}

// Run refreshes every Poll until ctx ends. A failed refresh is logged; the keys in memory go on
// serving.
func (k *Keyring) Run(ctx context.Context) {
	tick := time.NewTicker(Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := k.Refresh(ctx); err != nil && ctx.Err() == nil {
				k.log.ErrorContext(ctx, "signing keys not refreshed", "error", err.Error())
			}
		}
	}
}

// Refresh reads the keys of the store, creates those that are due and archives those that are
// over. Any number of instances may do so at once.
func (k *Keyring) Refresh(ctx context.Context) error {
	k.refreshing.Lock()
	defer k.refreshing.Unlock()
	for range 10 { // each round ends with one more step done, by us or by another instance
		s, err := k.read(ctx)
		if err != nil {
			return err
		}
		changed, err := k.rotate(ctx, s)
		if err != nil {
			return err
		}
		if !changed {
			k.state.Store(s)
			return nil
		}
	}
	return fmt.Errorf("keys keep changing under us: %w", fault.Conflict)
}

func (k *Keyring) read(ctx context.Context) (*state, error) {
	records, err := k.store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]*key{}
	if old := k.state.Load(); old != nil {
		known = old.byID
	}
	keys := make([]*key, 0, len(records))
	for _, r := range records {
		opened, ok := known[r.ID]
		if !ok || !opened.record.RetiredAt.Equal(r.RetiredAt) {
			if opened, err = k.openKey(r); err != nil {
				return nil, fmt.Errorf("key %s: %w", r.ID, err)
			}
		}
		keys = append(keys, opened)
	}
	return newState(keys, k.schedule, k.now())
}

// rotate adds the keys that are due and retires those that are over; changed tells that the store
// has to be read again.
func (k *Keyring) rotate(ctx context.Context, s *state) (changed bool, err error) {
	now := k.now()
	for f := range k.kept(s) {
		added, err := k.grow(ctx, s.families[f], f.use, f.alg, now)
		if err != nil {
			return changed, err
		}
		changed = changed || added
	}
	for _, keys := range s.families {
		for i, key := range keys {
			if !key.record.RetiredAt.IsZero() || !k.schedule.over(keys, i, now) {
				continue
			}
			err := k.store.RetireKey(ctx, key.record.ID, now, event(audit.KeyRetired, key.record, now))
			if err != nil && !errors.Is(err, fault.NotFound) {
				return changed, err
			}
			changed = true
		}
	}
	return changed, nil
}

// kept are the families that go on: those of the start, and those made later that exist.
func (k *Keyring) kept(s *state) iter.Seq[family] {
	return func(yield func(family) bool) {
		for i, table := range []map[Use][]string{k.algs, k.later} {
			for use, algs := range table {
				for _, alg := range algs {
					f := family{use, alg}
					if (i == 0 || len(s.families[f]) > 0) && !yield(f) {
						return
					}
				}
			}
		}
	}
}

// Prepare makes the first key for an algorithm of Options.Later, so that it is published before
// something is to be signed with it. Where there is one, and for any other algorithm, it does nothing.
func (k *Keyring) Prepare(ctx context.Context, use Use, alg string) error {
	if !slices.Contains(k.later[use], alg) {
		return nil
	}
	return k.found(ctx, family{use, alg})
}

// found makes the first key of a family that is made later, unless another instance was first.
func (k *Keyring) found(ctx context.Context, f family) error {
	k.founding.Lock()
	defer k.founding.Unlock()
	if len(k.state.Load().families[f]) > 0 { // made while we waited
		return nil
	}
	if _, err := k.grow(ctx, nil, f.use, f.alg, k.now()); err != nil {
		return err
	}
	return k.Refresh(ctx)
}

// RotateNow makes a new key for every algorithm in use that signs at once. Whoever cached our keys
// meets an unknown kid and has to fetch them again.
func (k *Keyring) RotateNow(ctx context.Context, use Use) error {
	now := k.now()
	for f, keys := range k.state.Load().families {
		if f.use != use {
			continue
		}
		r := Record{Use: use, Alg: f.alg, Generation: keys[len(keys)-1].record.Generation + 1, CreatedAt: now, SignsFrom: now}
		if err := k.generate(&r); err != nil {
			return err
		}
		if err := k.store.AddKey(ctx, r, event(audit.KeyCreated, r, now)); err != nil {
			return err
		}
	}
	return k.Refresh(ctx)
}

func (k *Keyring) grow(ctx context.Context, keys []*key, use Use, alg string, now time.Time) (bool, error) {
	signsFrom, create := k.schedule.due(keys, now)
	if !create {
		return false, nil
	}
	r := Record{Use: use, Alg: alg, Generation: 1, CreatedAt: now, SignsFrom: signsFrom}
	if len(keys) > 0 {
		r.Generation = keys[len(keys)-1].record.Generation + 1
	}
	if err := k.generate(&r); err != nil {
		return false, err
	}
	err := k.store.AddKey(ctx, r, event(audit.KeyCreated, r, now))
	if errors.Is(err, fault.Conflict) {
		return true, nil // another instance was first; its key will do
	}
	return true, err
}

func event(action audit.Action, r Record, now time.Time) audit.Event {
	return audit.Event{At: now, Action: action, Actor: "system", Detail: map[string]string{
		"kid": r.ID, "use": string(r.Use), "alg": r.Alg, "generation": strconv.Itoa(r.Generation),
	}}
}

// state is what one reading of the store came to. It is immutable.
type state struct {
	byID     map[string]*key
	families map[family][]*key // by generation
	sets     map[Use]jose.JSONWebKeySet
	jwks     map[Use]document
	archive  document
}

type document struct {
	body []byte
	etag string
}

func newDocument(v any) (document, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return document{}, err
	}
	sum := sha256.Sum256(body)
	return document{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}, nil
}

func newState(keys []*key, schedule Schedule, now time.Time) (*state, error) {
	s := &state{byID: map[string]*key{}, families: map[family][]*key{}, sets: map[Use]jose.JSONWebKeySet{}, jwks: map[Use]document{}}
	for _, k := range keys {
		f := family{k.record.Use, k.record.Alg}
		s.byID[k.record.ID] = k
		s.families[f] = append(s.families[f], k)
	}
	for _, f := range s.families {
		slices.SortFunc(f, func(a, b *key) int { return cmp.Compare(a.record.Generation, b.record.Generation) })
	}
	for _, use := range []Use{Tokens, Assertions, Checkpoints} {
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
		for _, k := range keys {
			if k.record.Use == use && k.record.RetiredAt.IsZero() {
				set.Keys = append(set.Keys, k.public)
			}
		}
		doc, err := newDocument(set)
		if err != nil {
			return nil, err
		}
		s.sets[use], s.jwks[use] = set, doc
	}
	var err error
	s.archive, err = newDocument(map[string][]archived{"keys": s.past(now)})
	return s, err
}

// archived is a public key that signs no more, with the time in which it did. The members nbf and
// exp are those of OpenID Federation's historical keys.
type archived struct {
	key     *key
	expires time.Time
}

// MarshalJSON adds the times and the use to the JWK.
func (a archived) MarshalJSON() ([]byte, error) {
	raw, err := a.key.public.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	members["purpose"] = a.key.record.Use
	members["nbf"] = a.key.record.SignsFrom.Unix()
	members["exp"] = a.expires.Unix()
	return json.Marshal(members)
}

// past lists the keys that stopped signing, oldest first.
func (s *state) past(now time.Time) []archived {
	list := []archived{}
	for _, keys := range s.families {
		for i, k := range keys {
			if end := stops(keys, i); !end.IsZero() && !now.Before(end) {
				list = append(list, archived{k, end})
			}
		}
	}
	slices.SortFunc(list, func(a, b archived) int {
		return cmp.Or(a.expires.Compare(b.expires), cmp.Compare(a.key.record.ID, b.key.record.ID))
	})
	return list
}

// Public returns the public keys of a use: those that sign, are about to, or signed what may still
// be alive. It never holds a private key.
func (k *Keyring) Public(use Use) jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: slices.Clone(k.state.Load().sets[use].Keys)}
}

// JWKS returns Public as a document (RFC 7517, section 5) with its entity tag. The bytes are
// shared and must not be changed.
func (k *Keyring) JWKS(use Use) (body []byte, etag string) {
	d := k.state.Load().jwks[use]
	return d.body, d.etag
}

// Archive returns the public keys of all uses that sign no more, with the time in which they did,
// so that a signature can be verified years later. The bytes are shared and must not be changed.
func (k *Keyring) Archive() (body []byte, etag string) {
	d := k.state.Load().archive
	return d.body, d.etag
}

// Signing returns the key that signs now. fault.NotFound when the keyring has none for the
// algorithm.
func (k *Keyring) Signing(use Use, alg string) (kid string, signer crypto.Signer, err error) {
	key, err := k.current(use, alg)
	if err != nil {
		return "", nil, err
	}
	return key.record.ID, key.private, nil
}

func (k *Keyring) current(use Use, alg string) (*key, error) {
	f := family{use, alg}
	keys := k.state.Load().families[f]
	if len(keys) == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), creation)
		defer cancel()
		if err := k.Prepare(ctx, use, alg); err != nil {
			return nil, fmt.Errorf("first %s key for %s: %w", alg, use, err)
		}
		keys = k.state.Load().families[f]
	}
	key := signing(keys, k.now())
	if key == nil || key.private == nil {
		return nil, fmt.Errorf("no %s key for %s: %w", alg, use, fault.NotFound)
	}
	return key, nil
}

// Secret returns 32 bytes for everything that is keyed but not signed, always the same for a label.
func (k *Keyring) Secret(label string) []byte { return k.box.root.derive("secret", label, 32) }

// Seal encrypts and authenticates a value (AES-256-GCM) under a key of its own per label. aad is
// authenticated with it and has to be given again.
func (k *Keyring) Seal(label string, plaintext, aad []byte) []byte {
	return k.box.seal(label, plaintext, aad)
}

// Open reverses Seal. Errors wrap ErrSealed or ErrWrongRoot.
func (k *Keyring) Open(label string, sealed, aad []byte) ([]byte, error) {
	return k.box.open(label, sealed, aad)
}
