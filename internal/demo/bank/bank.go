// Package bank is a bank that opens accounts with the electronic identity: it knows its customer
// from the identity card's data, at level 2 and after a sign-in with two factors.
//
//	GET  /                  what is needed
//	GET  /login             ask the provider (acr 2, identity-card data, offline access)
//	GET  /account           the customer file: what was received, from where, as of when
//	POST /account           open the account
//	POST /account/refresh   read the agreed items again, without the customer
//
// With Config.FAPI it speaks FAPI 2.0: it asks in so many words for the account that is to be
// opened (RFC 9396), and opens none that the customer did not agree to.
//
// The bank refuses a card that has expired, also within the 30 days in which others accept it.
package bank

import (
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"eid.example/idp/internal/demo/rp"
)

//go:embed brand.html style.css pages locales
var files embed.FS

// Config is what the bank has to be told.
type Config = rp.Config

// opening names the ask, the registered purpose and the type of authorization details.
const opening = "account_opening"

// details say what is to be opened (RFC 9396, section 2).
const details = `[{"type":"account_opening","product":"payment_account","purpose":"account_opening"}]`

// bank is the relying party.
type bank struct {
	app      *rp.App
	books    *books
	detailed bool // the customer agrees to details, not only to data
}

// New returns the bank. It does not need the provider to be up yet.
func New(cfg Config) (http.Handler, error) {
	b := &bank{books: &books{bySubject: map[string]account{}}, detailed: cfg.FAPI != nil}
	app, err := rp.New(cfg, rp.Brand{Key: "bank", Files: files, SecretInBody: true, Asks: []rp.Ask{{
		Key: opening, Purpose: opening, Details: details, ACR: 2, Level: 2, Page: "/account", Check: b.acceptable,
		Scopes: []string{"openid", "profile", "vn_pid", "vn_id_card", "vn_foreigner", "address", "offline_access"},
	}}})
	if err != nil {
		return nil, err
	}
	b.app = app
	app.Handle("GET /{$}", b.home)
	app.Handle("GET /login", (*rp.Visit).BeginNamed)
	app.Handle("GET /account", func(v *rp.Visit) error { return b.show(v, nil) })
	app.Handle("POST /account", b.open)
	app.Handle("POST /account/refresh", b.refresh)
	return app.Handler(), nil
}

// acceptable refuses a card past its date, because for the bank the 30-day window does not exist,
// and an answer without the account that was asked for.
func (b *bank) acceptable(answer *rp.Answer) *rp.Failure {
	status, _ := answer.Object("vn_id_card")["status"].(string)
	if answer.CardStatus == "expired_grace" || status == "expired" || status == "expired_grace" {
		return &rp.Failure{Code: "card_expired", Description: "the identity card has expired; account opening needs a valid one"}
	}
	if b.detailed && !answer.Binding.Granted(opening) {
		return &rp.Failure{Code: "account_not_agreed", Description: "the token's authorization_details have no account_opening"}
	}
	return nil
}

func (b *bank) home(v *rp.Visit) error {
	page := accountPage{}
	if who := v.Identity(); who != nil {
		page.Account = b.books.of(who.Subject)
	}
	return v.Render(http.StatusOK, "home", page)
}

type accountPage struct {
	Answer    *rp.Answer
	Failure   *rp.Failure
	Refreshed bool
	Stopped   *rp.Failure // why reading again did not work
	Account   account
	Ready     bool // everything that the law asks for is there
}

func (b *bank) show(v *rp.Visit, change func(*accountPage)) error {
	page := accountPage{Answer: v.Answer(opening), Failure: v.Failure(opening)}
	if page.Answer == nil && page.Failure == nil {
		return v.Redirect("/")
	}
	if page.Answer != nil {
		page.Account, page.Ready = b.books.of(page.Answer.Subject), complete(page.Answer)
	}
	if change != nil {
		change(&page)
	}
	return v.Render(http.StatusOK, "account", page)
}

// complete reports whether the customer file has what identifies a customer: number and identity
// card of a citizen, or a foreigner's passport.
func complete(answer *rp.Answer) bool {
	citizen := answer.String("vn_pid") != "" && answer.Object("vn_id_card") != nil
	return answer.String("name") != "" && (citizen || answer.Object("vn_passport") != nil)
}

func (b *bank) open(v *rp.Visit) error {
	answer := v.Answer(opening)
	if answer != nil && complete(answer) && b.acceptable(answer) == nil {
		b.books.open(answer.Subject, b.app.Config().Now())
	}
	return v.Redirect("/account")
}

// refresh reads the agreed items again. A refusal is shown beside the file: what was read before
// stays, as the bank has to keep it.
func (b *bank) refresh(v *rp.Visit) error {
	answer := v.Answer(opening)
	if answer == nil || !answer.Refreshable() {
		return v.Redirect("/account")
	}
	err := v.Refresh(answer)
	var stopped *rp.Failure
	if err != nil && !errors.As(err, &stopped) {
		return err
	}
	return b.show(v, func(p *accountPage) {
		p.Refreshed, p.Stopped = stopped == nil, stopped
		p.Ready = p.Ready && b.acceptable(answer) == nil
	})
}

// account is an opened bank account; the zero value is none.
type account struct {
	Number string
	Opened time.Time
}

const maxAccounts = 10_000

// books keep accounts by the pairwise subject.
type books struct {
	mu        sync.Mutex
	bySubject map[string]account // guarded by mu
}

// open gives a customer an account, once.
func (b *books) open(subject string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, has := b.bySubject[subject]; has {
		return
	}
	if len(b.bySubject) >= maxAccounts {
		for other := range b.bySubject {
			delete(b.bySubject, other)
			break
		}
	}
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		panic(err) // crypto/rand does not fail (Go 1.24)
	}
	digits := fmt.Sprintf("%08d", n)
	b.bySubject[subject] = account{Number: "9900 " + digits[:4] + " " + digits[4:], Opened: now}
}

func (b *books) of(subject string) account {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bySubject[subject]
}
