package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

// recordEvent writes an audit row about an account, together with an end that matters to nobody.
func recordEvent(t *testing.T, s *storage.Store, now time.Time, holder account.ID, request string) {
	t.Helper()
	err := s.End(t.Context(), revocation.End{Family: "f" + request, At: now}, audit.Event{
		At: now, Action: audit.TokensRevoked, Actor: "system", Account: holder, Request: request, Detail: map[string]string{"why": "thử"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sealAll(t *testing.T, s *storage.Store) {
	t.Helper()
	for {
		n, err := s.SealAudit(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func verify(t *testing.T, s *storage.Store, checkpoints ...string) audit.Report {
	t.Helper()
	r, err := audit.Verify(t.Context(), s, checkpoints, openMark)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mark stands in for the keyring: it signs by writing its name before the payload.
type mark struct{}

func (mark) Sign(payload []byte) (string, error) {
	return "mark:" + strings.ReplaceAll(string(payload), " ", ""), nil
}

func openMark(jws string) ([]byte, error) {
	payload, ok := strings.CutPrefix(jws, "mark:")
	if !ok {
		return nil, errors.New("not ours")
	}
	return []byte(payload), nil
}

func TestTwoInstancesSealOneChain(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		instances := []*storage.Store{e.Store, e.Second(t).Store}
		var writers, sealers sync.WaitGroup
		done := make(chan struct{})
		for i := range 4 {
			writers.Go(func() {
				for n := range 25 {
					recordEvent(t, instances[i%2], e.Now(), "a1", fmt.Sprintf("%d-%d", i, n))
				}
			})
			sealers.Go(func() {
				for {
					if _, err := instances[i%2].SealAudit(t.Context(), 7); err != nil {
						t.Error(err)
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		writers.Wait()
		close(done)
		sealers.Wait()
		sealAll(t, e.Store)
		if r := verify(t, e.Store); !r.OK() || r.Rows != 100 {
			t.Errorf("report %+v", r)
		}
	})
}

func TestTamperingInTheDatabaseIsFound(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"changed": `UPDATE audit_rows SET actor = 'nobody' WHERE seq = 3`,
		"spaced":  `UPDATE audit_rows SET detail = '{ }' WHERE seq = 3`,
		"deleted": `DELETE FROM audit_rows WHERE seq = 3`,
		"cut":     `DELETE FROM audit_rows WHERE seq > 3`,
		"emptied": `DELETE FROM audit_rows`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
				for i := range 5 {
					recordEvent(t, e.Store, e.Now(), "a1", fmt.Sprint(i))
				}
				sealAll(t, e.Store)
				head, err := e.Store.AuditHead(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "checkpoints")
				runSealer(t, e.Store, path)
				checkpoints := readCheckpoints(t, path)
				if r := verify(t, e.Store, checkpoints...); !r.OK() || r.Checkpoints != 1 || r.Head.Seq != head.Seq {
					t.Fatalf("before: %+v", r)
				}
				asOwner(t, e.DB, text)
				if r := verify(t, e.Store, checkpoints...); r.OK() {
					t.Errorf("not noticed: %+v", r)
				}
			})
		})
	}
}

// runSealer lets a sealer start and stop.
func runSealer(t *testing.T, s *storage.Store, path string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	(&audit.Sealer{Book: s, Signer: mark{}, Path: path, Now: time.Now}).Run(ctx)
}

func readCheckpoints(t *testing.T, path string) []string {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Checkpoints(file)
}

// asOwner does what only the owner of the tables can do.
func asOwner(t *testing.T, db sqldb.DB, text string) {
	t.Helper()
	if db.Engine() == "postgres" {
		if _, err := db.Exec(t.Context(), `ALTER TABLE audit_rows DISABLE TRIGGER USER`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

func TestTheChainHasTheOrderOfTheRowsAndIsReadOnFromAPlace(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		for _, request := range []string{"1", "2", "3"} {
			recordEvent(t, e.Store, e.Now(), "a1", request)
		}
		sealAll(t, e.Store)
		for after, want := range [][]string{{"1", "2", "3"}, {"2", "3"}, {"3"}, nil} {
			rows, err := e.Store.AuditRows(t.Context(), int64(after), 10)
			ok(t, err)
			var got []string
			for _, r := range rows {
				got = append(got, r.Event.Request)
			}
			if !slices.Equal(got, want) {
				t.Errorf("after place %d: %q, want %q", after, got, want)
			}
		}
	})
}

func TestRowsAreSealedWithinASecondAndCheckpointsAreWrittenHourly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := storagetest.Open(t)
		path := filepath.Join(t.TempDir(), "checkpoints")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			(&audit.Sealer{Book: e.Store, Signer: mark{}, Path: path, Now: e.Now}).Run(ctx)
		}()
		recordEvent(t, e.Store, e.Now(), "a1", "1")
		time.Sleep(time.Second)
		if r := verify(t, e.Store); r.Rows != 1 || !r.OK() {
			t.Errorf("after a second: %+v", r)
		}
		recordEvent(t, e.Store, e.Now(), "a1", "2")
		time.Sleep(time.Hour)
		if got := readCheckpoints(t, path); len(got) != 2 {
			t.Errorf("after an hour: %q", got)
		}
		time.Sleep(time.Hour)
		if got := readCheckpoints(t, path); len(got) != 2 {
			t.Errorf("after an hour without news: %q", got)
		}
		recordEvent(t, e.Store, e.Now(), "a1", "3")
		cancel()
		<-ended
		checkpoints := readCheckpoints(t, path)
		if r := verify(t, e.Store, checkpoints...); !r.OK() || r.Rows != 3 || r.Checkpoints != 3 {
			t.Errorf("at the end: %+v", r)
		}
	})
}

func TestTheHolderReadsWhatConcernsThem(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		for i := range 5 {
			recordEvent(t, e.Store, e.Now(), "a1", fmt.Sprint(i))
			recordEvent(t, e.Store, e.Now(), "a2", fmt.Sprint("other", i))
		}
		var read []string
		before := int64(0)
		for {
			page, err := e.Store.AuditOf(t.Context(), "a1", before, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				read, before = append(read, r.Event.Request), r.ID
				if r.Event.Account != "a1" || r.Event.Detail["why"] != "thử" {
					t.Errorf("row %+v", r)
				}
			}
		}
		if got := strings.Join(read, " "); got != "4 3 2 1 0" {
			t.Errorf("read %s", got)
		}
	})
}

func TestPostgresRefusesToChangeTheLog(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		if e.DB.Engine() != "postgres" {
			return // the embedded engine leaves it to the chain
		}
		recordEvent(t, e.Store, e.Now(), "a1", "1")
		for state := range 2 {
			for _, text := range []string{
				`UPDATE audit_rows SET actor = 'nobody'`,
				`UPDATE audit_rows SET actor = 'nobody', seq = 1, hash = 'x'`,
				`UPDATE audit_rows SET seq = 9`,
				`UPDATE audit_rows SET seq = NULL, hash = NULL`,
				`DELETE FROM audit_rows`,
				`TRUNCATE audit_rows`,
			} {
				if _, err := e.DB.Exec(t.Context(), text); err == nil || !strings.Contains(err.Error(), "never changed or deleted") {
					t.Errorf("state %d, %s: %v", state, text, err)
				}
			}
			sealAll(t, e.Store)
		}
	})
}
