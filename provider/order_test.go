package provider_test

import (
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// halt stops the first exchange with a store that a method makes once it is armed, until it is let go on.
type halt struct {
	method  string // with the type it is of: "(*Store).Redeem"
	armed   atomic.Bool
	reached chan struct{} // closed when the exchange is about to be made
	goOn    chan struct{}
}

// exchange is stage.Options.Exchange.
func (h *halt) exchange(string) {
	if h.armed.Load() && calledBy(h.method) && h.armed.CompareAndSwap(true, false) {
		close(h.reached)
		<-h.goOn
	}
}

func calledBy(function string) bool {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, function) {
			return true
		}
		if !more {
			return false
		}
	}
}

// halted runs a test on both pairs of stores, on a provider that can be halted once in a method.
func halted(t *testing.T, method string, test func(t *testing.T, idp *idptest.IDP, h *halt)) {
	t.Helper()
	var halts sync.Map // by data folder: the pairs run side by side
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		watch(t, idp)
		h, _ := halts.Load(idp.Server.Config.DataDir)
		test(t, idp, h.(*halt))
	}, withClients, func(o *stage.Options) {
		h := &halt{method: method, reached: make(chan struct{}), goOn: make(chan struct{})}
		halts.Store(o.Config.DataDir, h)
		o.Exchange = h.exchange
	})
}

// answered is what the token endpoint said.
type answered struct {
	status int
	header http.Header
	answer map[string]any
}

// overtaken sends a token request, and the same once more on the other instance while the first is
// halted. It fails unless the first alone is given tokens, and these are dead on arrival.
func overtaken(t *testing.T, idp *idptest.IDP, h *halt, c stage.ClientFacts, request func() url.Values) {
	t.Helper()
	twin := idp.Twin()
	h.armed.Store(true)
	first := make(chan answered)
	go func() {
		status, header, answer := idp.Token(c, request())
		first <- answered{status, header, answer}
	}()
	select {
	case <-h.reached:
	case a := <-first:
		t.Fatalf("answered without a halt: %d %v", a.status, a.answer)
	}
	status, header, answer := twin.Token(c, request())
	wantError(t, "the replay", status, header, answer, http.StatusBadRequest, "invalid_grant")
	close(h.goOn)
	won := <-first
	if won.status != http.StatusOK {
		t.Fatalf("the first exchange: %d %v", won.status, won.answer)
	}
	tokens := idptest.TokensOf(won.answer)
	for _, on := range []*idptest.IDP{idp, twin} {
		eventuallyDead(t, on, tokens.Access)
		status, header, answer = on.Token(c, refreshForm(tokens.Refresh))
		wantError(t, "the refresh token", status, header, answer, http.StatusBadRequest, "invalid_grant")
	}
}

// A replay that arrives while the first exchange is under way, and is done before it, ends what the
// first will be answered with (RFC 6749, section 4.1.2).
func TestAReplayOvertakesTheFirstExchangeOfACode(t *testing.T) {
	halted(t, "(*Store).Redeem", func(t *testing.T, idp *idptest.IDP, h *halt) {
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		c := code(idp, f, "offline_access")
		overtaken(t, idp, h, f.Client, func() url.Values { return f.Form(c) })
	})
}

// So does that of a device code.
func TestAReplayOvertakesTheFirstExchangeOfADeviceCode(t *testing.T) {
	halted(t, "(*Store).Redeem", func(t *testing.T, idp *idptest.IDP, h *halt) {
		kiosks(t, idp, "legacy")
		k := startKiosk(t, idp, "legacy", "openid profile offline_access")
		b, page := holderAt(idp, "M1", "/device")
		b.Through(typed(page, k.shown).Submit("device-continue"), idp.Person("M1"), "offline_access")
		overtaken(t, idp, h, k.client, k.form)
	})
}

// Somebody else opens a pushed request just before its holder answers it, and goes on just after: the
// code of the holder is not for them.
func TestAPushedRequestIsOpenedElsewhereWhileItIsAnswered(t *testing.T) {
	halted(t, ").Swap", func(t *testing.T, idp *idptest.IDP, h *halt) {
		bank := addBank(t, idp, "bank1")
		address := bank.push(bank.flow("openid profile"))
		b, who := idp.Browser(), idp.Person("M1")
		consent := b.Get(address).SignIn(who)
		stranger := idp.Browser()
		opened := make(chan *idptest.Page)
		h.armed.Store(true)
		go func() { opened <- stranger.Get(address) }()
		<-h.reached
		if consent.Allow(who).WantLeft(bankRedirect).Get("code") == "" {
			t.Fatal("the holder was not answered")
		}
		close(h.goOn)
		page := <-opened
		flow := page.URL.Query().Get("flow")
		for _, p := range []*idptest.Page{page, stranger.Get("/oauth2/callback?flow=" + flow), stranger.Get("/oauth2/cancel?flow=" + flow), stranger.Get(address)} {
			if p.Left != nil {
				t.Errorf("the stranger is sent on to %s", p.Left)
			}
		}
	})
}

// Two browsers open a pushed request at the same moment: the one whose opening is stored last has it.
func TestAPushedRequestIsOpenedTwiceAtOnce(t *testing.T) {
	halted(t, ").Swap", func(t *testing.T, idp *idptest.IDP, h *halt) {
		bank := addBank(t, idp, "bank1")
		address := bank.push(bank.flow("openid profile"))
		one, other, who := idp.Browser(), idp.Browser(), idp.Person("M1")
		opened := make(chan *idptest.Page)
		h.armed.Store(true)
		go func() { opened <- one.Get(address) }()
		<-h.reached
		stopped := other.Get(address)
		close(h.goOn)
		if v := one.Through(<-opened, who).WantLeft(bankRedirect); v.Get("code") == "" {
			t.Errorf("the later opening: %v", v)
		}
		wantPage(t, "the earlier opening", other.Get("/oauth2/callback?flow="+stopped.URL.Query().Get("flow")))
	})
}

// The form of a device's consent is sent twice at once: whoever is overtaken sees what the other did.
func TestADeviceIsAnsweredTwiceAtOnce(t *testing.T) {
	halted(t, ").Claim", func(t *testing.T, idp *idptest.IDP, h *halt) {
		kiosks(t, idp, "legacy")
		k := startKiosk(t, idp, "legacy", "openid profile")
		_, page := holderAt(idp, "M1", "/device")
		consent := typed(page, k.shown).Submit("device-continue")
		first := make(chan *idptest.Page)
		h.armed.Store(true)
		go func() { first <- consent.Submit("consent-allow") }()
		<-h.reached
		if p := consent.Submit("consent-allow"); !p.Has("device-approved") {
			t.Errorf("the second click: %d %s", p.Status, p.Text())
		}
		close(h.goOn)
		if p := <-first; !p.Has("device-approved") {
			t.Errorf("the first click: %d %s", p.Status, p.Text())
		}
	})
}
