package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// checks collects the first thing that is wrong with an answer. Its messages name members, never
// values: they go to logs.
type checks struct{ err error }

const longestText = 500

func (c *checks) must(ok bool, member string) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrMalformed, member)
	}
}

// text must be there.
func (c *checks) text(member, s string) {
	c.must(strings.TrimSpace(s) != "", member)
	c.optional(member, s)
}

// optional text may be missing.
func (c *checks) optional(member, s string) {
	c.must(utf8.RuneCountInString(s) <= longestText, member)
}

// list is an array of text that must be there but may be empty.
func (c *checks) list(member string, list []string) {
	c.must(list != nil, member)
	for _, s := range list {
		c.text(member, s)
	}
}

func (c *checks) oneOf(member, s string, values ...string) {
	c.must(slices.Contains(values, s), member)
}

func (c *checks) matches(member, s string, form *regexp.Regexp) {
	c.must(form.MatchString(s), member)
}

const (
	day   = "2006-01-02"
	month = "2006-01"
	year  = "2006"
)

// date must be there in one of the layouts.
func (c *checks) date(member, s string, layouts ...string) {
	for _, layout := range layouts {
		if _, err := time.Parse(layout, s); err == nil {
			return
		}
	}
	c.must(false, member)
}

// optionalDate may be nil: null in JSON.
func (c *checks) optionalDate(member string, s *string, layouts ...string) {
	if s != nil {
		c.date(member, *s, layouts...)
	}
}

// present notes a part that was asked for and is missing. It reports whether there is a value.
func present[T any](c *checks, member string, p Part[T]) bool {
	c.must(p.Present, member)
	return p.Value != nil
}
