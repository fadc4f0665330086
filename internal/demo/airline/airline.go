// Package airline is an airline that relies on the identity provider: check-in for domestic
// flights with the identity card's data, and a gate that reads a QR in place of papers.
//
//	GET  /               choose a flight
//	GET  /login          check in with the electronic identity (account level 2)
//	GET  /boarding-pass  the result
//	GET  /gate           for staff: scan or paste the citizen's QR
//	POST /gate           redeem it, verify the signed assertion, show the verdict
//	GET  /kiosk          at the airport: check in with a telephone, without typing anything
//	GET  /desk           for staff: sign in the same way at a computer that several share
//
// An electronic identity is accepted on domestic flights only; abroad a passport is needed.
package airline

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"eid.example/idp/internal/demo/rp"
)

//go:embed brand.html style.css pages locales static
var files embed.FS

// Config is what the airline has to be told.
type Config = rp.Config

// airline is the relying party.
type airline struct {
	app      *rp.App
	gate     *gate
	bookings *bookings
}

// New returns the airline. It does not need the provider to be up yet.
func New(cfg Config) (http.Handler, error) {
	a := &airline{bookings: &bookings{bySubject: map[string]*booking{}}}
	checkIn := rp.Ask{
		Key: "check_in", Purpose: "check_in", Scopes: []string{"openid", "profile", "vn_id_card", "vn_foreigner"}, Level: 2,
		Page: "/boarding-pass", Keep: a.keep, Memo: flights[0].Number + " " + sampleCode,
	}
	kiosk := checkIn
	kiosk.Key, kiosk.Page = "kiosk", "/kiosk/result"
	desk := rp.Ask{Key: "desk", Purpose: "staff", Scopes: []string{"openid", "profile"}, Level: 2, Page: "/desk/result"}
	app, err := rp.New(cfg, rp.Brand{Key: "airline", Files: files, StaffPath: "/gate", Asks: []rp.Ask{checkIn, kiosk, desk}})
	if err != nil {
		return nil, err
	}
	a.app, a.gate = app, newGate(app.Config())
	app.Handle("GET /{$}", a.home)
	app.Handle("GET /login", a.login)
	app.Handle("GET /boarding-pass", a.boardingPass)
	app.Handle("GET /gate", func(v *rp.Visit) error { return v.Render(http.StatusOK, "gate", gatePage{}) })
	app.Handle("POST /gate", a.scan)
	screen{a: a, path: "/kiosk", ask: kiosk.Key, life: time.Minute}.mount()
	screen{a: a, path: "/desk", ask: desk.Key, life: 8 * time.Hour}.mount() // a shift
	return app.Handler(), nil
}

// flight is an invented flight.
type flight struct {
	Number, From, To string // From and To are airport codes; their names are texts
	Departs          string // local time
	Gate             string
	International    bool
}

var flights = []flight{
	{Number: "SM101", From: "HAN", To: "SGN", Departs: "08:15", Gate: "12"},
	{Number: "SM203", From: "DAD", To: "HAN", Departs: "11:40", Gate: "4"},
	{Number: "SM305", From: "SGN", To: "PQC", Departs: "15:05", Gate: "21"},
	{Number: "SM802", From: "HAN", To: "NRT", Departs: "23:55", Gate: "30", International: true},
}

func findFlight(number string) (flight, bool) {
	for _, f := range flights {
		if f.Number == number {
			return f, true
		}
	}
	return flight{}, false
}

// sampleCode is filled in, so that the demonstration needs no typing.
const sampleCode = "SAOMAI"

var bookingCode = regexp.MustCompile(`^[A-Z0-9]{6}$`)

type homePage struct {
	Flights      []flight
	Chosen, Code string
	WrongCode    bool
	Booking      *booking
}

func (a *airline) home(v *rp.Visit) error {
	page := homePage{Flights: flights, Chosen: flights[0].Number, Code: sampleCode}
	if who := v.Identity(); who != nil {
		page.Booking = a.bookings.of(who.Subject)
	}
	return v.Render(http.StatusOK, "home", page)
}

// login starts the check-in for the chosen flight; without a choice, for the first one.
func (a *airline) login(v *rp.Visit) error {
	q := v.R.URL.Query()
	number, code := flights[0].Number, sampleCode
	if q.Has("flight") {
		number = q.Get("flight")
	}
	if q.Has("booking") {
		code = strings.ToUpper(strings.TrimSpace(q.Get("booking")))
	}
	f, ok := findFlight(number)
	switch {
	case !ok:
		return rp.NotFound
	case f.International:
		return v.Render(http.StatusOK, "international", internationalPage{Flight: f, Failure: &rp.Failure{Code: "international_flight",
			Description: "an electronic identity is accepted on domestic flights only"}})
	case !bookingCode.MatchString(code):
		return v.Render(http.StatusUnprocessableEntity, "home", homePage{Flights: flights, Chosen: number, Code: q.Get("booking"), WrongCode: true})
	}
	return v.Begin("check_in", f.Number+" "+code)
}

type internationalPage struct {
	Flight  flight
	Failure *rp.Failure
}

type passPage struct {
	Answer  *rp.Answer
	Failure *rp.Failure
	Booking *booking
	Again   string // the same check-in once more
}

func (a *airline) boardingPass(v *rp.Visit) error {
	page := passPage{Answer: v.Answer("check_in"), Failure: v.Failure("check_in")}
	if page.Answer == nil && page.Failure == nil {
		return v.Redirect("/")
	}
	if page.Answer != nil {
		page.Booking, page.Again = a.bookings.of(page.Answer.Subject), again(page.Answer.Memo)
	} else {
		page.Again = again(page.Failure.Memo)
	}
	return v.Render(http.StatusOK, "boarding_pass", page)
}

func again(memo string) string {
	number, code, _ := strings.Cut(memo, " ")
	return "/login?" + url.Values{"flight": {number}, "booking": {code}}.Encode()
}

// keep checks the passenger in, if the data of the card came, or of a foreigner's passport: without
// them there is nobody to check in.
func (a *airline) keep(answer *rp.Answer) {
	number, code, _ := strings.Cut(answer.Memo, " ")
	f, ok := findFlight(number)
	if !ok || answer.Object("vn_id_card") == nil && answer.Object("vn_passport") == nil {
		return
	}
	a.bookings.put(answer.Subject, &booking{Flight: f, Code: code, Name: answer.String("name"),
		Seat: seat(answer.Subject, number), At: answer.At})
}

// booking is a passenger who has checked in.
type booking struct {
	Flight     flight
	Code, Name string
	Seat       string
	At         time.Time
}

const maxBookings = 10_000

// bookings are found by the pairwise subject, which is the same at check-in and at the gate.
type bookings struct {
	mu        sync.Mutex
	bySubject map[string]*booking // guarded by mu
}

func (b *bookings) put(subject string, booked *booking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.bySubject[subject]; !known && len(b.bySubject) >= maxBookings {
		for other := range b.bySubject {
			delete(b.bySubject, other)
			break
		}
	}
	b.bySubject[subject] = booked
}

func (b *bookings) of(subject string) *booking {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bySubject[subject]
}

// seat is the same each time the same person checks in for the same flight.
func seat(subject, number string) string {
	sum := sha256.Sum256([]byte(subject + " " + number))
	return fmt.Sprintf("%d%c", 1+int(sum[0])%30, 'A'+rune(sum[1]%6))
}
