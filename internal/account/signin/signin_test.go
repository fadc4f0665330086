package signin_test

import (
	"testing"
	"time"

	"eid.example/idp/internal/account"
)

func TestOneSessionServesAllServices(t *testing.T) {
	onEngines(t, func(t *testing.T, r *rig) {
		r.flows.asks["portal"], r.flows.asks["airline"] = portal(account.ACR1), portal(account.ACR1)
		b := r.browser()
		b.get("/signin?flow=portal").want(200, `id="login-form"`, `id="username"`, `id="password"`, `id="login-submit"`, "Cổng dịch vụ công", "portal.example", "/oauth2/cancel?flow=f")
		b.signIn("flow=portal", "M1").want(200, "done "+string(r.ids["M1"])+" urn:vn:eid:acr:1 pwd")
		b.get("/signin?flow=airline").want(200, "done "+string(r.ids["M1"])) // no password asked
		r.browser().get("/done").want(200, "done nobody")
	})
}

func TestASecondFactorIsAskedInsideTheSession(t *testing.T) {
	onEngines(t, func(t *testing.T, r *rig) {
		r.flows.asks["portal"], r.flows.asks["bank"] = portal(account.ACR1), portal(account.ACR2)
		b := r.browser()
		b.signIn("flow=portal", "M1")
		b.get("/signin?flow=bank").want(200, `id="otp"`, `id="otp-submit"`, "001").lacks("+84600000001", "0600000001")
		b.post("/signin/code?flow=bank", "otp", r.code()).want(200, "urn:vn:eid:acr:2 pwd,sms,mfa")
		b.get("/signin?flow=portal").want(200, "urn:vn:eid:acr:2")
	})
}

func TestAFreshSignInIsAskedWhenTheServiceWantsOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["portal"] = portal(account.ACR1)
	b := r.browser()
	b.signIn("flow=portal", "M1")
	r.engine.Advance(10 * time.Minute)
	fresh := portal(account.ACR1)
	fresh.After = r.engine.Now()
	r.flows.asks["fresh"] = fresh
	b.get("/signin?flow=fresh").want(200, `id="login-form"`, "Nguyễn Thị Mẫu", r.people["M1"].Number, "other=1")
	b.get("/signin?flow=fresh&other=1").want(200, `id="login-form"`).lacks("Nguyễn Thị Mẫu", r.people["M1"].Number)
	b.signIn("flow=fresh", "M1").want(200, "done "+string(r.ids["M1"]))
	b.get("/signin?flow=fresh").want(200, "done ")
}
