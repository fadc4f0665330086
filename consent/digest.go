package consent

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
)

// digest is SHA-256 over the JSON array of its parts, base64url: unambiguous, and the same for ever.
func digest(parts ...any) string {
	b, err := json.Marshal(parts)
	if err != nil {
		panic(err) // strings, booleans and slices of these only
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// purposeHash changes when the registered purpose reads differently in either language.
func purposeHash(p client.Purpose) string {
	return digest("purpose", p.ID, p.Text, p.LegalBasis, p.Retention)
}

// textHash is what the record keeps of the screen: who asked, for what, for how long, and each item
// as it was worded in that language.
func textHash(ask *Ask, locale string) string {
	p := ask.Purpose
	parts := []any{"screen", locale, ask.Client.Name.In(locale), ask.Client.Domain,
		p.Text.In(locale), p.LegalBasis.In(locale), p.Retention.In(locale), policy.CatalogueVersion, ask.Share}
	if ask.Client.SelfNamed {
		parts = append(parts, "the name was not reviewed")
	}
	for _, scope := range askable(ask.Items, ask.Offline) {
		item, _ := policy.Find(scope)
		parts = append(parts, []any{scope, item.Label.In(locale), item.Explain.In(locale), required(p, scope)})
	}
	for _, d := range ask.Details {
		parts = append(parts, []any{"detail", d.In(locale)})
	}
	return digest(parts...)
}

// shownHash travels in the form, so that an answer counts only for the very question that was on
// the screen: the same request, holder, relying party and text.
func shownHash(ask *Ask, locale string) string {
	return digest("shown", ask.RequestID, ask.Account.ID, ask.Client.ID, textHash(ask, locale))
}

// grantID is the same for every form sent for one request, so that the ledger's primary key leaves
// one record.
func grantID(ask *Ask) string {
	return "c" + digest("grant", ask.RequestID, ask.Account.ID, ask.Client.ID, ask.Purpose.ID)[:32]
}
