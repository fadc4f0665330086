package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// answer is what one register said about one holder.
type answer interface {
	head() Head
	// check notes whatever is missing or wrong in the parts that the scopes need.
	check(c *checks, scopes []policy.Scope)
	// release returns a struct whose JSON form are the claims of the scope, nil when the register
	// knows nothing of this kind. It is called only after check found nothing.
	release(scope policy.Scope, a account.Account, now time.Time) any
}

// Head opens every answer.
type Head struct {
	Number string    `json:"number"` // of the person that the answer is about
	Name   string    `json:"name"`   // as the register writes it; empty where it gives none
	AsOf   time.Time `json:"as_of"`  // date of the data
}

func (h Head) head() Head { return h }

// Part is a section of an answer. It tells null (the register knows that there is none) from a
// member that is missing (half an answer).
type Part[T any] struct {
	Present bool
	Value   *T // nil when the register said null
}

// UnmarshalJSON is called for null too, but not for a missing member.
func (p *Part[T]) UnmarshalJSON(b []byte) error {
	p.Present, p.Value = true, nil
	if string(b) == "null" {
		return nil
	}
	p.Value = new(T)
	return json.Unmarshal(b, p.Value)
}

// parse reads a whole answer about the person asked for, and nothing else. Errors are
// ErrMalformed and ErrMismatch.
func parse[T answer](body []byte, number string, scopes []policy.Scope) (T, error) {
	var said, none T
	if err := decode(body, &said); err != nil {
		return none, err
	}
	c := checks{}
	head := said.head()
	c.text("number", head.Number)
	c.must(!head.AsOf.IsZero(), "as_of")
	if head.Number != "" && head.Number != number {
		return none, ErrMismatch
	}
	said.check(&c, scopes)
	if c.err != nil {
		return none, c.err
	}
	return said, nil
}

// decode reads exactly one JSON value. It is stricter than encoding/json where leniency could
// change the meaning: names given twice (also in other letter case), text that is no UTF-8,
// control characters and anything after the value are refused.
func decode(body []byte, into any) error {
	if err := wellFormed(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: unexpected shape", ErrMalformed) // the cause would quote values
	}
	return nil
}

func wellFormed(body []byte) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := walk(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the answer", ErrMalformed)
	}
	return nil
}

const deepest = 12

func walk(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil || depth > deepest {
		return fmt.Errorf("%w: broken JSON", ErrMalformed)
	}
	switch t := token.(type) {
	case string:
		return cleanText(t)
	case json.Delim:
		return walkInto(d, t == '{', depth)
	}
	return nil
}

func walkInto(d *json.Decoder, object bool, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		if object {
			token, err := d.Token()
			name, ok := token.(string)
			if err != nil || !ok {
				return fmt.Errorf("%w: broken JSON", ErrMalformed)
			}
			// encoding/json ignores letter case, so "Name" after "name" would win
			name = strings.ToLower(strings.ToUpper(name))
			if seen[name] {
				return fmt.Errorf("%w: a member is given twice", ErrMalformed)
			}
			seen[name] = true
		}
		if err := walk(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%w: broken JSON", ErrMalformed)
	}
	return nil
}

// cleanText refuses what could make a person read something else than a program: control and
// direction characters, and the replacement character that stands for lost text.
func cleanText(s string) error {
	for _, r := range s {
		if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
			return fmt.Errorf("%w: unprintable text", ErrMalformed)
		}
	}
	return nil
}

// sameName compares names as people do: NFC, letter case and spacing aside.
func sameName(a, b string) bool {
	fold := func(s string) string { return strings.Join(strings.Fields(norm.NFC.String(s)), " ") }
	return strings.EqualFold(fold(a), fold(b))
}

// plain turns a struct into the JSON value that is released, with all text in NFC.
func plain(v any) (map[string]any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	if err := json.Unmarshal(norm.NFC.Bytes(b), &claims); err != nil {
		return nil, err
	}
	return claims, nil
}
