package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/account"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// log is a chain in memory: what the database would hold.
type log []Row

func (l log) AuditRows(_ context.Context, after int64, limit int) ([]Row, error) {
	var page []Row
	for _, r := range l {
		if r.Seq > after && len(page) < limit {
			page = append(page, r)
		}
	}
	return page, nil
}

func sealed(n int) log {
	rows := make(log, n)
	for i := range rows {
		rows[i] = Row{ID: int64(i + 10), Detail: `{"n":"1"}`, Event: Event{At: noon, Action: SignedIn, Actor: "a1", Account: "a1", Request: fmt.Sprint(i)}}
	}
	Seal(Head{}, rows)
	return rows
}

// witness is the checkpoint that would have been signed when the log ended at a row.
func witness(l log, seq int64) string {
	r := l[seq-1]
	return "signed " + string(Head{r.Seq, r.Hash}.checkpoint(noon))
}

func opened(jws string) ([]byte, error) {
	payload, ok := strings.CutPrefix(jws, "signed ")
	if !ok {
		return nil, errors.New("wrong signature")
	}
	return []byte(payload), nil
}

func TestAWholeLogHasNoProblems(t *testing.T) {
	t.Parallel()
	l := sealed(verifyPage*2 + 1) // more than one page
	r, err := Verify(t.Context(), l, []string{witness(l, 1), witness(l, verifyPage), witness(l, verifyPage*2+1)}, opened)
	if err != nil || !r.OK() || r.Rows != verifyPage*2+1 || r.Checkpoints != 3 || r.Head.Seq != r.Rows {
		t.Errorf("report %+v, error %v", r, err)
	}
	if r, err := Verify(t.Context(), log{}, nil, opened); err != nil || !r.OK() || r.Rows != 0 {
		t.Errorf("empty log: report %+v, error %v", r, err)
	}
}

func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tamper func(log) log
		seq    int64
		says   string
	}{
		"changed event":  {func(l log) log { l[4].Event.Actor = "a2"; return l }, 5, "changed"},
		"changed time":   {func(l log) log { l[4].Event.At = noon.Add(time.Microsecond); return l }, 5, "changed"},
		"changed detail": {func(l log) log { l[4].Detail = `{"n":"2"}`; return l }, 5, "changed"},
		"changed account": {func(l log) log {
			l[4].Event.Account = account.ID("a2")
			return l
		}, 5, "changed"},
		"moved between fields": {func(l log) log {
			l[4].Event.Actor, l[4].Event.Client = "", l[4].Event.Actor
			return l
		}, 5, "changed"},
		"changed and sealed again": {func(l log) log {
			l[4].Event.Actor = "a2"
			l[4].Hash = Link(l[3].Hash, l[4])
			return l
		}, 6, "changed"},
		"taken out":       {func(l log) log { return slices.Delete(l, 4, 6) }, 5, "missing, up to row 6"},
		"first taken out": {func(l log) log { return l[1:] }, 1, "missing, up to row 1"},
		"taken out and closed up": {func(l log) log {
			l = slices.Delete(l, 4, 5)
			for i := range l {
				l[i].Seq = int64(i + 1)
			}
			return l
		}, 5, "changed"},
		"reordered": {func(l log) log {
			l[4].Seq, l[5].Seq = 6, 5
			l[4], l[5] = l[5], l[4]
			return l
		}, 5, "changed"},
		"tail cut": {func(l log) log { return l[:6] }, 8, "cut off"},
		"all cut":  {func(l log) log { return nil }, 8, "cut off"},
		"written anew": {func(l log) log {
			l[4].Event.Actor = "a2"
			Seal(Head{}, l)
			return l
		}, 8, "written anew"},
		"tail cut and grown again": {func(l log) log {
			l = append(l[:6], sealed(10)[6:]...)
			l[7].Event.Actor = "a2"
			Seal(Head{}, l)
			return l
		}, 8, "written anew"},
	} {
		l := sealed(10)
		checkpoints := []string{witness(l, 8)}
		r, err := Verify(t.Context(), c.tamper(l), checkpoints, opened)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Seq == c.seq && strings.Contains(p.What, c.says) }) {
			t.Errorf("%s: problems %v, want row %d: %s", name, r.Problems, c.seq, c.says)
		}
	}
}

func TestForgedCheckpointsAreFound(t *testing.T) {
	t.Parallel()
	l := sealed(3)
	for name, jws := range map[string]string{
		"foreign signature": "forged" + witness(l, 2)[6:],
		"not JSON":          "signed nonsense",
		"names no row":      `signed {"seq":0,"hash":"x"}`,
		"other hash":        strings.Replace(witness(l, 2), `"hash":"`, `"hash":"A`, 1),
	} {
		r, err := Verify(t.Context(), l, []string{witness(l, 1), jws}, opened)
		if err != nil || len(r.Problems) != 1 || r.Rows != 3 {
			t.Errorf("%s: report %+v, error %v", name, r, err)
		}
	}
}

// The form of the sealed text is kept for years: a change makes every old log look tampered with.
func TestTheLinkOfAKnownRow(t *testing.T) {
	t.Parallel()
	r := Row{ID: 7, Seq: 1, Detail: `{"ý":"<&>"}`, Event: Event{
		At: noon.Add(1234567 * time.Nanosecond).In(time.FixedZone("ICT", 7*3600)), Action: ConsentGiven, Actor: "a1", Account: "a1",
		Client: "airline", Request: "R1", Address: "192.0.2.0/24",
	}}
	const want = "c4c6f9348888187c0f653005aba14a118640de9a9c6ac949c91f8478df77b645"
	if got := fmt.Sprintf("%x", Link([]byte{1, 2, 3}, r)); got != want {
		t.Errorf("link %s, want %s", got, want)
	}
}

func FuzzReadCheckpoint(f *testing.F) {
	f.Add([]byte(`{"seq":1,"hash":"x","at":"2026-03-02T12:00:00Z"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := readCheckpoint(payload)
		if err == nil && (c.Seq < 1 || c.Hash == "") {
			t.Errorf("took %q for %+v", payload, c)
		}
		if err == nil && !json.Valid(payload) {
			t.Errorf("took %q", payload)
		}
	})
}
