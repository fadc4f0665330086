package airline

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"rsc.io/qr"

	"eid.example/idp/internal/demo/rp"
)

// screen is a place where nobody types a password: people sign in with the code that it shows, on a
// telephone of their own (RFC 8628). Everything of the last person goes away with "finish", and by
// itself after a while, because people walk away.
type screen struct {
	a    *airline
	path string // of the start; its pages lie below
	ask  string // also the name of its pages
	life time.Duration
}

func (s screen) mount() {
	s.a.app.Handle("GET "+s.path, func(v *rp.Visit) error { return v.RenderShared(http.StatusOK, s.ask, screenPage{Path: s.path}) })
	s.a.app.Handle("POST "+s.path, s.start)
	s.a.app.Handle("GET "+s.path+"/wait", s.wait)
	s.a.app.Handle("GET "+s.path+"/result", s.result)
	s.a.app.Handle("POST "+s.path+"/finish", s.finish)
}

type screenPage struct {
	Path    string
	Device  *rp.Device   // while the code is shown
	Picture template.URL // of the address with the code in it; may be empty
	Refresh int          // seconds until the page loads itself again
	Answer  *rp.Answer
	Failure *rp.Failure
	Booking *booking // of the passenger at a kiosk
	Flights []flightCount
}

// start is POST of the screen: a new person.
func (s screen) start(v *rp.Visit) error {
	if err := v.BeginDevice(s.ask, ""); err != nil {
		return err
	}
	return v.Redirect(s.path + "/wait")
}

// wait shows the code, and loads itself again until the person has decided.
func (s screen) wait(v *rp.Visit) error {
	d, err := v.AwaitDevice(s.ask)
	if err != nil {
		return err
	}
	if d == nil {
		return v.Redirect(s.path + "/result")
	}
	return v.RenderShared(http.StatusOK, "waiting", screenPage{Path: s.path, Device: d, Picture: draw(d.Complete), Refresh: d.Wait(s.a.app.Config().Now())})
}

func (s screen) result(v *rp.Visit) error {
	page := screenPage{Path: s.path, Answer: v.Answer(s.ask), Failure: v.Failure(s.ask)}
	var since time.Time
	switch {
	case page.Answer != nil:
		since = page.Answer.At
		page.Booking, page.Flights = s.a.bookings.of(page.Answer.Subject), s.a.bookings.count()
	case page.Failure != nil:
		since = page.Failure.At
	default:
		return v.Redirect(s.path)
	}
	left := since.Add(s.life).Sub(s.a.app.Config().Now())
	if left <= 0 {
		return s.finish(v)
	}
	page.Refresh = int(left/time.Second) + 1
	return v.RenderShared(http.StatusOK, s.ask+"_result", page)
}

func (s screen) finish(v *rp.Visit) error {
	v.Finish()
	return v.Redirect(s.path)
}

// draw is the picture of an address as a data: address. One that is too long for a picture is shown
// without: people can still type the code.
func draw(text string) template.URL {
	code, err := qr.Encode(text, qr.M)
	if err != nil || text == "" {
		return ""
	}
	code.Scale = 8
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG()))
}

// flightCount is a flight with the number of its passengers who have checked in.
type flightCount struct {
	flight
	CheckedIn int
}

func (b *bookings) count() []flightCount {
	b.mu.Lock()
	defer b.mu.Unlock()
	var counts []flightCount
	for _, f := range flights {
		n := 0
		for _, booked := range b.bySubject {
			if booked.Flight.Number == f.Number {
				n++
			}
		}
		counts = append(counts, flightCount{f, n})
	}
	return counts
}

// Person names who was recognised, with the level that the airline goes by.
func (p screenPage) Person() string {
	if name := p.Answer.String("name"); name != "" {
		return name
	}
	return fmt.Sprintf("%.8s…", p.Answer.Subject)
}
