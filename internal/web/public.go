package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// PublicRoutes are the pages that need nobody signed in: the catalogue of what can be shared, and
// what an account level needs.
func (s *Site) PublicRoutes() []Route {
	return []Route{
		{Pattern: "GET /scopes", Kind: Page, Handler: s.showCatalogue},
		{Pattern: "GET /help/level", Kind: Page, Handler: s.showLevel, CrossSite: true},
	}
}

type cataloguePage struct {
	Version string
	Groups  []catalogueGroup
}

type catalogueGroup struct {
	Level account.Level
	Items []catalogueItem
}

type catalogueItem struct {
	policy.Item
	Age string // how old a value may be, in words
}

func (s *Site) showCatalogue(w http.ResponseWriter, r *http.Request) error {
	page := cataloguePage{Version: policy.CatalogueVersion}
	for _, level := range []account.Level{account.LevelMatched, account.LevelProved} {
		page.Groups = append(page.Groups, catalogueGroup{Level: level, Items: s.itemsOf(r, level)})
	}
	return s.base.Render(w, r, http.StatusOK, "scopes", page)
}

func (s *Site) itemsOf(r *http.Request, level account.Level) []catalogueItem {
	var items []catalogueItem
	for _, item := range policy.Catalogue {
		if item.Level == level {
			items = append(items, catalogueItem{Item: item, Age: s.ageInWords(r, item)})
		}
	}
	return items
}

func (s *Site) ageInWords(r *http.Request, item policy.Item) string {
	const day = 24 * time.Hour
	switch age := item.MaxAge; {
	case age == 0:
		return s.base.Text(r, "age.none")
	case age == time.Hour:
		return s.base.Text(r, "age.hour")
	case age == day:
		return s.base.Text(r, "age.day")
	case age < day:
		return s.base.Text(r, "age.hours", int(age/time.Hour))
	default:
		return s.base.Text(r, "age.days", int(age/day))
	}
}

// levelHelp says what an account level needs: a relying party's program reads it after following
// the error_uri of an answer to a level that is too low.
type levelHelp struct {
	Need  account.Level       `json:"need"`
	Have  *account.Level      `json:"have"` // null when the address does not tell
	Title map[string]string   `json:"title"`
	Where []map[string]string `json:"where"`
	Bring []map[string]string `json:"bring"`
	Takes map[string]int      `json:"takes_working_days"`
	Fee   int                 `json:"fee"` // VND
	URL   string              `json:"url"`
	Opens []policy.Item       `json:"-"`
	Steps []map[string]string `json:"-"`
}

// HaveLevel is what Have points to; the page asks only when there is something.
func (h levelHelp) HaveLevel() account.Level { return *h.Have }

// takes is the time limit of a decision in working days (Decision 9039/QĐ-BCA-C06; for level 1
// Decree 69/2024, article 13).
var takes = map[account.Level]map[string]int{
	account.LevelMatched: {"with_card": 1},
	account.LevelProved:  {"with_card": 3, "without_card": 7},
}

func (s *Site) showLevel(w http.ResponseWriter, r *http.Request) error {
	help, err := s.levelHelp(r)
	if err != nil {
		return err
	}
	w.Header().Add("Vary", "Accept")
	if PrefersJSON(r) {
		return JSON(w, http.StatusOK, help)
	}
	return s.base.Render(w, r, http.StatusOK, "level", help)
}

func (s *Site) levelHelp(r *http.Request) (levelHelp, error) {
	query := r.URL.Query()
	need := account.LevelProved
	if query.Has("need") {
		n, err := strconv.Atoi(query.Get("need"))
		if need = account.Level(n); err != nil || takes[need] == nil {
			return levelHelp{}, fmt.Errorf("no account level to reach: %w", fault.Invalid)
		}
	}
	prefix := fmt.Sprintf("help.%d.", need)
	help := levelHelp{
		Need: need, Takes: takes[need], URL: s.URL(fmt.Sprintf("/help/level?need=%d", need)),
		Title: s.base.inAll(prefix + "title"),
		Where: s.base.lines(prefix + "where"), Bring: s.base.lines(prefix + "bring"), Steps: s.base.lines(prefix + "step"),
	}
	if n, err := strconv.Atoi(query.Get("have")); err == nil && n >= 0 && n <= 2 {
		have := account.Level(n)
		help.Have = &have
	}
	for _, item := range policy.Catalogue {
		if item.Level == need {
			help.Opens = append(help.Opens, item)
		}
	}
	return help, nil
}

// inAll is a text in every language.
func (p *Pages) inAll(key string) map[string]string {
	all := map[string]string{}
	for _, locale := range Locales {
		all[locale] = p.texts[locale][key]
	}
	return all
}

// lines are the texts key.0, key.1, ... in every language.
func (p *Pages) lines(key string) []map[string]string {
	var all []map[string]string
	for i := 0; ; i++ {
		k := key + "." + strconv.Itoa(i)
		if _, ok := p.texts[Locales[0]][k]; !ok {
			return all
		}
		all = append(all, p.inAll(k))
	}
}

// JSON answers a program.
func JSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) // an error here means that the reader has gone
	return nil
}
