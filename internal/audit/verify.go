package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Source yields the sealed rows.
type Source interface {
	// AuditRows returns up to limit sealed rows after a place in the chain, in order.
	AuditRows(ctx context.Context, after int64, limit int) ([]Row, error)
}

// Report is what Verify found.
type Report struct {
	Rows        int64 // sealed rows that were read
	Head        Head  // of the last of them
	Checkpoints int   // checkpoints with a good signature
	Problems    []Problem
}

// Problem is one thing that is not as it was sealed.
type Problem struct {
	Seq  int64 // place in the chain; 0 for a checkpoint that names none
	What string
}

func (p Problem) String() string { return fmt.Sprintf("row %d: %s", p.Seq, p.What) }

// OK reports whether the log is whole.
func (r Report) OK() bool { return len(r.Problems) == 0 }

const verifyPage = 1000

// Verify reads the whole chain and compares it with the signed checkpoints (one JWS each), which
// verify turns into their payloads. It finds rows that were changed, taken out or moved, a tail
// that was cut, a chain that was written anew, and checkpoints that we did not sign. The error is
// of reading; what is wrong with the log is in the report.
func Verify(ctx context.Context, rows Source, checkpoints []string, verify func(jws string) ([]byte, error)) (Report, error) {
	v := verifier{witnesses: map[int64][]checkpoint{}}
	v.admit(checkpoints, verify)
	for {
		page, err := rows.AuditRows(ctx, v.report.Head.Seq, verifyPage)
		if err != nil {
			return v.report, err
		}
		for _, r := range page {
			v.row(r)
		}
		if len(page) < verifyPage {
			break
		}
	}
	v.tail()
	slices.SortStableFunc(v.report.Problems, func(a, b Problem) int { return int(a.Seq - b.Seq) })
	return v.report, nil
}

type verifier struct {
	report    Report
	witnesses map[int64][]checkpoint // by the row that they name, until that row is met
}

func (v *verifier) problem(seq int64, format string, args ...any) {
	v.report.Problems = append(v.report.Problems, Problem{seq, fmt.Sprintf(format, args...)})
}

func (v *verifier) admit(checkpoints []string, verify func(jws string) ([]byte, error)) {
	for i, jws := range checkpoints {
		payload, err := verify(jws)
		if err != nil {
			v.problem(0, "checkpoint %d is not signed by us: %v", i+1, err)
			continue
		}
		c, err := readCheckpoint(payload)
		if err != nil {
			v.problem(0, "checkpoint %d cannot be read: %v", i+1, err)
			continue
		}
		v.report.Checkpoints++
		v.witnesses[c.Seq] = append(v.witnesses[c.Seq], c)
	}
}

// row checks one row. After a problem it goes on from what is stored, so that each is told once.
func (v *verifier) row(r Row) {
	last := v.report.Head
	switch {
	case r.Seq != last.Seq+1:
		v.problem(last.Seq+1, "missing, up to row %d", r.Seq-1)
	case !bytes.Equal(r.Hash, Link(last.Hash, r)):
		v.problem(r.Seq, "changed, moved, or not what followed the row before")
	}
	for _, c := range v.witnesses[r.Seq] {
		if c.Hash != base64.RawURLEncoding.EncodeToString(r.Hash) {
			v.problem(r.Seq, "the chain was written anew: another row stood here at the checkpoint of %s", c.At.Format("2006-01-02 15:04"))
		}
	}
	delete(v.witnesses, r.Seq)
	v.report.Rows++
	v.report.Head = Head{Seq: r.Seq, Hash: r.Hash}
}

// tail judges the checkpoints whose rows were not met.
func (v *verifier) tail() {
	for seq, cs := range v.witnesses {
		if seq > v.report.Head.Seq {
			v.problem(seq, "cut off: the checkpoint of %s knew it, the log ends at row %d", cs[0].At.Format("2006-01-02 15:04"), v.report.Head.Seq)
		}
	}
}

// Checkpoints splits a file of checkpoints: one JWS a line.
func Checkpoints(file []byte) []string { return strings.Fields(string(file)) }
