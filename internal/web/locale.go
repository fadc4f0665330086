package web

import (
	"context"
	"net/http"

	"golang.org/x/text/language"
)

type contextKey int

const (
	localeKey contextKey = iota
	requestIDKey
)

const (
	choiceCookie = "idp_lang" // the person's own choice, one year
	askedCookie  = "idp_ui"   // ui_locales of the request in progress
)

// askedFor is how long ui_locales count, in seconds: as long as an interaction may take.
const askedFor = 30 * 60

// maxTags is the length of the longest list of language tags that is read, in bytes.
const maxTags = 500

var matcher = language.NewMatcher([]language.Tag{language.Vietnamese, language.English})

// Locale is the language of the request: "vi" or "en".
func Locale(ctx context.Context) string {
	if l, ok := ctx.Value(localeKey).(string); ok {
		return l
	}
	return Locales[0]
}

// withLocale decides the language: ui_locales of the request in progress, then the person's
// choice, then Accept-Language, else Vietnamese.
func (s *Site) withLocale(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, s.localized(r)) })
}

func (s *Site) localized(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), localeKey, s.chooseLocale(r)))
}

func (s *Site) chooseLocale(r *http.Request) string {
	for _, name := range []string{askedCookie, choiceCookie} {
		if locale := s.Cookie(r, name); known(locale) {
			return locale
		}
	}
	return Match(r.Header.Get("Accept-Language"))
}

// Match returns the locale that best suits a list of language tags as in Accept-Language.
func Match(tags string) string {
	if tags == "" || len(tags) > maxTags {
		return Locales[0]
	}
	wanted, _, err := language.ParseAcceptLanguage(tags)
	if err != nil {
		return Locales[0]
	}
	_, i, confidence := matcher.Match(wanted...)
	if confidence == language.No {
		return Locales[0]
	}
	return Locales[i]
}

// AskLocale honours the ui_locales of an authorization request (space-separated tags, preferred
// first) for the pages that follow; unknown tags do no harm.
func (s *Site) AskLocale(w http.ResponseWriter, r *http.Request, uiLocales []string) *http.Request {
	for _, tag := range uiLocales {
		if len(tag) > maxTags {
			continue
		}
		t, err := language.Parse(tag)
		if err != nil {
			continue
		}
		if base, _ := t.Base(); known(base.String()) {
			s.SetCookie(w, askedCookie, base.String(), askedFor)
			return r.WithContext(context.WithValue(r.Context(), localeKey, base.String()))
		}
	}
	return r
}

// chooseLanguage is GET /language: the switch at the head of every page.
func (s *Site) chooseLanguage(w http.ResponseWriter, r *http.Request) error {
	to, back := r.URL.Query().Get("to"), r.URL.Query().Get("back")
	if known(to) {
		s.SetCookie(w, choiceCookie, to, 365*24*60*60)
		s.ClearCookie(w, askedCookie) // the later wish wins
	}
	if !Local(back) {
		back = "/"
	}
	return Redirect(w, r, back)
}

func known(locale string) bool { return locale == "vi" || locale == "en" }
