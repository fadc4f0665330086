package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"image/jpeg"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Cards is the citizen-card register (CSDL căn cước).
type Cards interface {
	// Card returns the parts of a citizen's card file that the scopes need. Errors wrap
	// ErrUnavailable, ErrNoRecord, ErrMismatch or ErrMalformed.
	Card(ctx context.Context, number account.NationalID, scopes []policy.Scope) (CardFile, error)
}

// CardFile is what the card register keeps of one citizen. Parts that were not asked for are absent.
type CardFile struct {
	Head
	Card     Part[Card]   `json:"card"`
	History  Part[[]Card] `json:"history"`
	Portrait Part[string] `json:"portrait_jpeg"` // base64
}

// Card is one identity paper, of today or of earlier.
type Card struct {
	Kind    string  `json:"kind"` // can_cuoc, can_cuoc_cong_dan, cmnd
	Number  string  `json:"number"`
	Issued  string  `json:"issued"`  // YYYY-MM-DD
	Expires *string `json:"expires"` // YYYY-MM-DD, nil: never
	Issuer  string  `json:"issuer"`
	Status  string  `json:"status"` // valid, expired, replaced, withdrawn, held, lost
}

// largestPortrait bounds the picture, in bytes, so that it fits into a userinfo answer.
const largestPortrait = 96 << 10

type cardsHTTP struct{ *connector }

func (c cardsHTTP) Card(ctx context.Context, number account.NationalID, scopes []policy.Scope) (CardFile, error) {
	return ask[CardFile](ctx, c.connector, recordOf(number, "v1/cards/").parts(scopes, cardParts))
}

var cardParts = map[policy.Scope]string{policy.IDCard: "card", policy.Portrait: "portrait"}

func (f CardFile) check(c *checks, scopes []policy.Scope) {
	c.text("name", f.Name)
	for _, scope := range scopes {
		switch cardParts[scope] {
		case "card":
			f.checkCards(c)
		case "portrait":
			checkPortrait(c, f.Portrait)
		}
	}
}

func (f CardFile) checkCards(c *checks) {
	if present(c, "card", f.Card) {
		checkCard(c, "card", *f.Card.Value)
		// the number of a citizen's card is their personal identification number
		c.must(f.Card.Value.Number == f.Number, "card.number")
	}
	if present(c, "history", f.History) {
		for _, card := range *f.History.Value {
			checkCard(c, "history", card)
		}
	}
}

func checkCard(c *checks, member string, card Card) {
	c.oneOf(member+".kind", card.Kind, "can_cuoc", "can_cuoc_cong_dan", "cmnd")
	c.text(member+".number", card.Number)
	c.date(member+".issued", card.Issued, day)
	c.optionalDate(member+".expires", card.Expires, day)
	c.must(card.Expires == nil || *card.Expires > card.Issued, member+".expires")
	c.text(member+".issuer", card.Issuer)
	c.oneOf(member+".status", card.Status, "valid", "expired", "replaced", "withdrawn", "held", "lost")
}

func checkPortrait(c *checks, p Part[string]) {
	if !present(c, "portrait_jpeg", p) {
		return
	}
	picture, err := base64.StdEncoding.DecodeString(*p.Value)
	c.must(err == nil && len(picture) <= largestPortrait, "portrait_jpeg")
	_, err = jpeg.DecodeConfig(bytes.NewReader(picture))
	c.must(err == nil, "portrait_jpeg")
}

func (f CardFile) release(scope policy.Scope, _ account.Account, _ time.Time) any {
	switch scope {
	case policy.IDCard:
		return f.cards()
	case policy.Portrait:
		return portrait(f.Portrait)
	}
	return nil
}

func (f CardFile) cards() any {
	if f.Card.Value == nil {
		return nil
	}
	history := []Card{}
	if f.History.Value != nil {
		history = *f.History.Value
	}
	return struct {
		Card    Card   `json:"vn_id_card"`
		History []Card `json:"vn_id_card_history"`
	}{*f.Card.Value, history}
}

func portrait(p Part[string]) any {
	if p.Value == nil {
		return nil
	}
	return struct {
		JPEG string `json:"vn_portrait_jpeg"`
	}{*p.Value}
}
