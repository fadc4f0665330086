package sqldb

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"eid.example/idp/internal/fault"
)

// arguments turns named strings, integers and booleans into the types that both drivers know, and
// times into what the engine keeps. Text that PostgreSQL would refuse is refused on both engines.
func arguments(args []any, asTime func(time.Time) any) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		if t, ok := a.(time.Time); ok {
			if !t.IsZero() {
				out[i] = asTime(t.UTC())
			}
			continue
		}
		out[i] = plain(a)
		if text, ok := out[i].(string); ok && (!utf8.ValidString(text) || strings.Contains(text, "\x00")) {
			return nil, fmt.Errorf("parameter %d is no text: %w", i+1, fault.Invalid)
		}
	}
	return out, nil
}

func plain(a any) any {
	v := reflect.ValueOf(a)
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Bool:
		return v.Bool()
	}
	return a
}

// destinations puts the engine's own reader in the place of each *time.Time.
func destinations(dest []any, reader func(*time.Time) any) []any {
	out := make([]any, len(dest))
	for i, d := range dest {
		out[i] = d
		if t, ok := d.(*time.Time); ok {
			out[i] = reader(t)
		}
	}
	return out
}

// collector keeps the first error of a Scan and goes on: see DB.Batch.
type collector struct{ err error }

func (c *collector) wrap(scan func(Row) error) func(Row) error {
	return func(r Row) error {
		if err := scan(r); err != nil && c.err == nil {
			c.err = err
		}
		return nil
	}
}
