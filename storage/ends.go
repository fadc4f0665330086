package storage

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage/sqldb"
)

const (
	// followEvery is how often an instance looks for new ends.
	followEvery = 250 * time.Millisecond
	// followOverlap is longer than any transaction lasts: PostgreSQL hands out ids before commit,
	// so a row may become visible after rows with higher ids.
	followOverlap = 15 * time.Second
	// followWait is how long one look may take; a connection that hangs is then given up.
	followWait = 2 * time.Second
	// followStale is how long an instance may go without an answer and still count as healthy.
	followStale = 5 * time.Second
	// pruneEvery is how often what no longer matters is dropped.
	pruneEvery = 10 * time.Minute
)

// End ends something together with the audit row that tells why. This instance refuses it at
// once, every other one within half a second.
func (s *Store) End(ctx context.Context, e revocation.End, ev audit.Event) error {
	if err := s.db.Batch(ctx, append(ending(e), auditRow(ev))...); err != nil {
		return err
	}
	s.noteEnd(e)
	return nil
}

// ending are the statements that end something and queue the logout tokens that follow from it;
// they belong into the transaction of the cause. After the commit the caller hands the same end to
// noteEnd.
func ending(e revocation.End) []sqldb.Statement {
	return append([]sqldb.Statement{{
		SQL:  `INSERT INTO ends (at, account_id, consent_id, session_id, family_id) VALUES ($1, $2, $3, $4, $5)`,
		Args: []any{e.At, e.Account, e.Consent, e.Session, e.Family},
	}}, logouts(e)...)
}

// endingOthers ends every session of an account but one.
func endingOthers(id account.ID, keep account.SessionID, at time.Time) []sqldb.Statement {
	return append([]sqldb.Statement{
		{
			SQL: `INSERT INTO ends (at, account_id, consent_id, session_id, family_id)
				SELECT $1, '', '', sid, '' FROM sign_ins WHERE account_id = $2 AND sid <> $3 AND ended_at IS NULL AND started_at > $4`,
			Args: []any{at, id, keep, at.Add(-revocation.Kept)},
		},
		{
			SQL:  `UPDATE sign_ins SET ended_at = $1 WHERE account_id = $2 AND sid <> $3 AND ended_at IS NULL`,
			Args: []any{at, id, keep},
		},
	}, logoutsWhere(at, `account_id = $2 AND session_id <> $3`, id, keep)...)
}

// noteEnd makes this instance refuse what it has just ended, without waiting for the next look.
func (s *Store) noteEnd(e revocation.End) {
	if f := s.follower.Load(); f != nil {
		f.Note(e)
	}
	s.wake()
}

// wake lets the logout tokens of an end that was committed here leave at once.
func (s *Store) wake() {
	select {
	case s.queued <- struct{}{}:
	default: // nobody has looked since the last one
	}
}

// Follower is the revocation.List of one instance: the ends of the last revocation.Kept, kept in
// memory and brought up to date every quarter of a second.
type Follower struct {
	store *Store
	now   func() time.Time
	marks []mark // of the following goroutine alone

	mu       sync.RWMutex // guards the rest
	accounts latest[account.ID]
	consents latest[string]
	sessions latest[account.SessionID]
	families latest[string]
	answered time.Time // when the database last answered, by the monotonic clock
}

// mark is the highest id that was visible at a moment of the monotonic clock.
type mark struct {
	at time.Time
	id int64
}

// latest is, per thing, the latest moment at which it was ended.
type latest[K comparable] map[K]time.Time

func (l latest[K]) add(key K, at time.Time) {
	if at.After(l[key]) {
		l[key] = at
	}
}

// ends compares in microseconds: the database keeps no more.
func (l latest[K]) ends(key K, issued time.Time) bool {
	at, ok := l[key]
	return ok && !issued.Truncate(time.Microsecond).After(at)
}

func (l latest[K]) prune(before time.Time) {
	for key, at := range l {
		if at.Before(before) {
			delete(l, key)
		}
	}
}

// Follow loads what was ended and follows it until ctx ends.
func Follow(ctx context.Context, s *Store, now func() time.Time) (*Follower, error) {
	f := &Follower{
		store: s, now: now,
		accounts: latest[account.ID]{}, consents: latest[string]{},
		sessions: latest[account.SessionID]{}, families: latest[string]{},
	}
	if err := f.load(ctx); err != nil {
		return nil, err
	}
	s.follower.Store(f)
	go f.follow(ctx)
	return f, nil
}

// Ended implements revocation.List. It costs no exchange.
func (f *Follower) Ended(b revocation.Bearer) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return b.Account != "" && f.accounts.ends(b.Account, b.IssuedAt) ||
		b.Consent != "" && f.consents.ends(b.Consent, b.IssuedAt) ||
		b.Session != "" && f.sessions.ends(b.Session, b.IssuedAt) ||
		b.Family != "" && f.families.ends(b.Family, b.IssuedAt)
}

// Note applies an end that this instance has just committed.
func (f *Follower) Note(e revocation.End) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch { // the order of revocation.End.Matches
	case e.Family != "":
		f.families.add(e.Family, e.At)
	case e.Session != "":
		f.sessions.add(e.Session, e.At)
	case e.Consent != "":
		f.consents.add(e.Consent, e.At)
	case e.Account != "":
		f.accounts.add(e.Account, e.At)
	}
}

// Healthy reports whether the database has answered within the last five seconds. An instance
// that is not healthy may accept what was ended elsewhere and leaves rotation.
func (f *Follower) Healthy() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return time.Since(f.answered) <= followStale
}

func (f *Follower) follow(ctx context.Context) {
	look, prune := time.NewTicker(followEvery), time.NewTicker(pruneEvery)
	defer look.Stop()
	defer prune.Stop()
	failing := false
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			err = f.look(ctx)
		case <-prune.C:
			err = f.prune(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			slog.ErrorContext(ctx, "what other instances end is not seen here", "error", err)
		}
		failing = err != nil
	}
}

const endColumns = `id, at, account_id, consent_id, session_id, family_id`

type endRecord struct {
	id  int64
	end revocation.End
}

func scanEnd(r sqldb.Row) (out endRecord, err error) {
	e := &out.end
	return out, r.Scan(&out.id, &e.At, &e.Account, &e.Consent, &e.Session, &e.Family)
}

// load reads all that still matters. The first mark lies before anything that may be uncommitted.
func (f *Follower) load(ctx context.Context) error {
	started := time.Now()
	settled, err := sqldb.One(ctx, f.store.db, scanID, `SELECT id FROM ends WHERE at <= $1 ORDER BY at DESC, id DESC LIMIT 1`, f.now().Add(-4*followOverlap))
	if err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	ends, err := sqldb.Many(ctx, f.store.db, scanEnd, `SELECT `+endColumns+` FROM ends WHERE at > $1`, f.now().Add(-revocation.Kept))
	if err != nil {
		return err
	}
	f.marks = []mark{{at: started, id: settled}}
	f.apply(ends, started)
	return nil
}

func scanID(r sqldb.Row) (id int64, err error) { return id, r.Scan(&id) }

// look reads what is new, and once more what became visible during the last followOverlap.
func (f *Follower) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, followWait)
	defer cancel()
	started := time.Now()
	for len(f.marks) > 1 && started.Sub(f.marks[1].at) >= followOverlap {
		f.marks = f.marks[1:]
	}
	ends, err := sqldb.Many(ctx, f.store.db, scanEnd, `SELECT `+endColumns+` FROM ends WHERE id > $1 ORDER BY id`, f.marks[0].id)
	if err != nil {
		return err
	}
	f.apply(ends, started)
	return nil
}

func (f *Follower) apply(ends []endRecord, started time.Time) {
	highest := f.marks[len(f.marks)-1].id
	for _, e := range ends {
		f.Note(e.end)
		highest = max(highest, e.id)
	}
	if highest > f.marks[len(f.marks)-1].id {
		f.marks = append(f.marks, mark{at: started, id: highest})
	}
	f.mu.Lock()
	f.answered = started
	f.mu.Unlock()
}

// prune forgets what can no longer matter, here and, with room for clocks that differ, in the table.
func (f *Follower) prune(ctx context.Context) error {
	before := f.now().Add(-revocation.Kept)
	f.mu.Lock()
	f.accounts.prune(before)
	f.consents.prune(before)
	f.sessions.prune(before)
	f.families.prune(before)
	f.mu.Unlock()
	_, err := f.store.db.Exec(ctx, `DELETE FROM ends WHERE at < $1`, before.Add(-revocation.Kept))
	return err
}
