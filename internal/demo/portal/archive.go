package portal

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"eid.example/idp/internal/demo/rp"
)

const (
	maxFiles    = 50 // per citizen; the oldest give way
	maxCitizens = 5000
)

// file is what the portal keeps about one procedure.
type file struct {
	Number  string
	Service service
	At      time.Time
	Answer  *rp.Answer // what was received, with sources
	Form    []input    // what was handed in; nil for residence information
}

// archive keeps files by the pairwise subject: the same citizen finds them again after the next
// sign-in, and the portal needs no number of the citizen for that.
type archive struct {
	mu        sync.Mutex
	bySubject map[string][]*file // guarded by mu; newest first
}

func (a *archive) open(s service, answer *rp.Answer, form []input, now time.Time) *file {
	f := &file{Number: number(s.Prefix, now), Service: s, At: now, Answer: answer, Form: form}
	a.mu.Lock()
	defer a.mu.Unlock()
	mine, known := a.bySubject[answer.Subject]
	if !known && len(a.bySubject) >= maxCitizens {
		for other := range a.bySubject {
			delete(a.bySubject, other)
			break
		}
	}
	mine = slices.Insert(mine, 0, f)
	a.bySubject[answer.Subject] = mine[:min(len(mine), maxFiles)]
	return f
}

func (a *archive) of(subject string) []*file {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.bySubject[subject])
}

// latest is the file into which an answer went, or nil.
func (a *archive) latest(answer *rp.Answer) *file {
	for _, f := range a.of(answer.Subject) {
		if f.Answer == answer {
			return f
		}
	}
	return nil
}

// number is like CT-2026-04817362: the digits are drawn, so that numbers say nothing about how
// many files there are.
func number(prefix string, now time.Time) string {
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		panic(err) // crypto/rand does not fail (Go 1.24)
	}
	return fmt.Sprintf("%s-%d-%08d", prefix, now.Year(), n)
}
