// openid-client, oauth4webapi, jose and go-oidc against the demo over TLS, with every check that they have.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import * as jose from 'jose'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'

import { Browser, Page } from './browser.js'
import { startDemo } from './demo.js'
import { approve, refused, request } from './party.js'

const acr = (n) => `urn:vn:eid:acr:${n}`
let demo

before(async () => {
  demo = await startDemo()
})
after(() => demo?.stop())

// A relying party that uses openid-client.
async function party(key, authentication, options) {
  const facts = demo.client(key)
  const config = await client.discovery(new URL(demo.issuer), facts.id, { client_secret: facts.secret, id_token_signed_response_alg: 'ES256' },
    authentication, options)
  client.enableNonRepudiationChecks(config)
  return { config, redirect: facts.redirect_uris?.[0], facts }
}

const tool = () => party('tool', client.None())
const portal = (options) => party('portal', client.ClientSecretBasic(demo.client('portal').secret), options)
const counter = () => party('counter', client.ClientSecretPost(demo.client('counter').secret))

async function signIn(rp, person, parameters, { browser = new Browser(demo), items, checks: more } = {}) {
  const { url, checks } = await request(rp, parameters)
  const answer = await browser.act(url, person, { stop: rp.redirect, items })
  assert.ok(answer instanceof URL, answer.text?.())
  const tokens = await client.authorizationCodeGrant(rp.config, answer, { ...checks, ...more })
  return { browser, tokens, claims: tokens.claims(), answer, checks }
}

describe('openid-client', () => {
  test('discovery, both documents', async () => {
    for (const algorithm of ['oidc', 'oauth2']) {
      const { config } = await portal({ algorithm })
      const meta = config.serverMetadata()
      assert.equal(meta.issuer, demo.issuer)
      assert.equal(meta.authorization_response_iss_parameter_supported, true)
      assert.ok(meta.supportsPKCE())
      assert.deepEqual(meta.code_challenge_methods_supported, ['S256'])
    }
  })

  test('public client: code, PKCE, nonce, state, iss, signature, userinfo', async () => {
    const rp = await tool()
    const { tokens, claims } = await signIn(rp, demo.person('M1'), { scope: 'openid profile email' }, { items: ['email'] })
    assert.equal(claims.acr, acr(1))
    assert.deepEqual(claims.amr, ['pwd'])
    assert.equal(claims.vn_account_level, 2)
    assert.equal(tokens.scope, 'openid profile email')
    const info = await client.fetchUserInfo(rp.config, tokens.access_token, claims.sub)
    assert.equal(info.name, demo.person('M1').name)
    assert.equal(info.email_verified, true)
    await assert.rejects(client.fetchUserInfo(rp.config, tokens.access_token, 'somebody else'))
  })

  test('an answer that was tampered with', async () => {
    const rp = await portal()
    const { url, checks } = await request(rp, { vn_purpose: 'sign_in', scope: 'openid profile' })
    const answer = await new Browser(demo).act(url, demo.person('M9'), { stop: rp.redirect })
    for (const [name, value] of [['iss', 'https://evil.example'], ['iss', null], ['state', 'other']]) {
      const forged = new URL(answer)
      if (value) forged.searchParams.set(name, value)
      else forged.searchParams.delete(name)
      await assert.rejects(client.authorizationCodeGrant(rp.config, forged, checks))
    }
    await assert.rejects(client.authorizationCodeGrant(rp.config, answer, { ...checks, expectedNonce: 'other' }))
    await refused(client.authorizationCodeGrant(rp.config, answer, checks), 'invalid_grant') // used by then
  })

  test('refresh, revocation', async () => {
    const rp = await tool()
    const { tokens, claims } = await signIn(rp, demo.person('M10'), { scope: 'openid profile offline_access', prompt: 'consent' }, { items: ['offline_access'] })
    const next = await client.refreshTokenGrant(rp.config, tokens.refresh_token)
    assert.equal(next.claims().sub, claims.sub)
    assert.equal(next.claims().auth_time, claims.auth_time)
    assert.notEqual(next.refresh_token, tokens.refresh_token)
    await client.fetchUserInfo(rp.config, next.access_token, claims.sub)
    await client.tokenRevocation(rp.config, next.refresh_token)
    await refused(client.refreshTokenGrant(rp.config, next.refresh_token), 'invalid_grant')
    await refused(client.fetchUserInfo(rp.config, next.access_token, claims.sub), 'invalid_token')
    await client.tokenRevocation(rp.config, 'not a token of anybody')
  })

  test('introspection by a resource server', async () => {
    const rp = await tool()
    const { tokens, claims } = await signIn(rp, demo.person('M11'), { scope: 'openid profile' })
    const resource = await party('resource', client.ClientSecretBasic(demo.client('resource').secret))
    const said = await client.tokenIntrospection(resource.config, tokens.access_token)
    assert.equal(said.active, true)
    assert.equal(said.sub, claims.sub)
    assert.equal((await client.tokenIntrospection(resource.config, 'unknown')).active, false)
  })

  test('client_credentials', async () => {
    const { config } = await party('service', client.ClientSecretBasic(demo.client('service').secret))
    const tokens = await client.clientCredentialsGrant(config)
    assert.equal(tokens.id_token, undefined)
    await refused(client.clientCredentialsGrant(config, { scope: 'profile' }), 'invalid_scope')
    const wrong = await party('service', client.ClientSecretBasic('wrong'))
    await assert.rejects(client.clientCredentialsGrant(wrong.config), (err) => {
      assert.equal(err.status, 401) // the library stops at the challenge; the body tells the error
      return true
    })
  })

  test('client_secret_post, acr of the registration', async () => {
    const rp = await counter()
    const { claims, browser } = await signIn(rp, demo.person('M1'), { scope: 'openid profile vn_pid vn_id_card address' })
    assert.equal(claims.acr, acr(2))
    assert.deepEqual(browser.trail, ['login', 'otp', 'consent'])
  })

  // A bank as FAPI 2.0 asks for, message signing included.
  test('private_key_jwt, PAR, a signed request, a signed answer, DPoP', async () => {
    const facts = demo.client('bank')
    const key = { key: await jose.importJWK(facts.jwk, 'ES256'), kid: facts.jwk.kid }
    const config = await client.discovery(new URL(demo.issuer), facts.id,
      { id_token_signed_response_alg: 'ES256', authorization_signed_response_alg: 'ES256' }, client.PrivateKeyJwt(key))
    client.enableNonRepudiationChecks(config)
    client.useJwtResponseMode(config)
    const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))

    const pkceCodeVerifier = client.randomPKCECodeVerifier()
    const checks = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true }
    const redirect = facts.redirect_uris[0]
    const signed = await client.buildAuthorizationUrlWithJAR(config, {
      redirect_uri: redirect, scope: 'openid profile vn_pid vn_id_card address offline_access', state: checks.expectedState, nonce: checks.expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256', response_mode: 'jwt', response_type: 'code',
      authorization_details: JSON.stringify([{ type: 'account_opening', product: 'payment_account', purpose: 'account_opening' }]),
    }, key)
    const url = await client.buildAuthorizationUrlWithPAR(config, signed.searchParams, { DPoP })
    assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request_uri'])

    const browser = new Browser(demo)
    const answer = await browser.act(url, demo.person('M11'), { stop: redirect, items: ['offline_access'] })
    assert.ok(answer instanceof URL, answer.text?.())
    assert.deepEqual([...answer.searchParams.keys()], ['response'])
    const tokens = await client.authorizationCodeGrant(config, answer, checks, undefined, { DPoP })
    assert.equal(tokens.token_type, 'dpop')
    assert.equal(tokens.authorization_details[0].product, 'payment_account')
    assert.equal(tokens.claims().acr, acr(2))
    const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP })
    assert.equal(person.vn_pid, demo.person('M11').number)
    // The same token with another key is worth nothing; with none, neither.
    const stolen = { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256')) }
    for (const options of [stolen, undefined]) await assert.rejects(client.fetchUserInfo(config, tokens.access_token, person.sub, options))
    const renewed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
    assert.equal((await client.fetchUserInfo(config, renewed.access_token, person.sub, { DPoP })).vn_pid, person.vn_pid)
    // Without PAR nothing begins.
    const straight = await new Browser(demo).act(signed, demo.person('M11'), { stop: redirect })
    assert.ok(straight instanceof Page && straight.status === 400, 'not even the address of a request that was not pushed is used')
  })

  // A kiosk of the airline; the person helps with a telephone.
  test('device grant: pending, then agreed to', async () => {
    const facts = demo.client('airline')
    const config = await client.discovery(new URL(demo.issuer), facts.id, { client_secret: facts.secret, id_token_signed_response_alg: 'ES256' },
      client.ClientSecretBasic(facts.secret))
    client.enableNonRepudiationChecks(config)
    const shown = await client.initiateDeviceAuthorization(config, { scope: 'openid profile', vn_purpose: 'check_in' })
    const waiting = client.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:device_code', { device_code: shown.device_code })
    await refused(waiting, 'authorization_pending')

    const person = demo.person('M10')
    await approve(new Browser(demo), shown, person)
    const tokens = await client.pollDeviceAuthorizationGrant(config, shown)
    assert.ok(tokens.claims().sub)
    assert.equal((await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)).name, person.name)
    await refused(client.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:device_code', { device_code: shown.device_code }), 'invalid_grant')
  })

  test('acr_values, then an essential acr that cannot be had', async () => {
    const rp = await tool()
    const { claims, browser } = await signIn(rp, demo.person('M9'), { acr_values: acr(2) })
    assert.equal(claims.acr, acr(2))
    const { url, checks } = await request(rp, { claims: JSON.stringify({ id_token: { acr: { essential: true, values: [acr(4)] } } }) })
    const page = await browser.act(url, demo.person('M9'), { stop: rp.redirect })
    assert.ok(page instanceof Page && page.has('back-to-service'), 'a page that explains')
    const answer = await browser.open(page.link('back-to-service'), rp.redirect)
    await refused(client.authorizationCodeGrant(rp.config, answer, checks), 'unmet_authentication_requirements')
  })

  test('max_age and auth_time', async () => {
    const rp = await tool()
    const person = demo.person('M11')
    const first = await signIn(rp, person, { max_age: 10_000 }, { checks: { maxAge: 10_000 } })
    const again = await signIn(rp, person, { max_age: 10_000 }, { browser: first.browser, checks: { maxAge: 10_000 } })
    assert.deepEqual(again.browser.trail, [])
    assert.equal(again.claims.auth_time, first.claims.auth_time)
    const fresh = await signIn(rp, person, { max_age: 0 }, { browser: first.browser, checks: { maxAge: 30 } })
    assert.deepEqual(fresh.browser.trail, ['login'])
    assert.ok(fresh.claims.auth_time >= first.claims.auth_time)
  })

  test('prompt=none, with and without a session, and with a hint', async () => {
    const rp = await tool()
    const { url, checks } = await request(rp, { prompt: 'none' })
    const stranger = await new Browser(demo).open(url, rp.redirect)
    await refused(client.authorizationCodeGrant(rp.config, stranger, checks), 'login_required')
    const first = await signIn(rp, demo.person('M10'), {})
    const silent = await signIn(rp, demo.person('M10'), { prompt: 'none', id_token_hint: first.tokens.id_token }, { browser: first.browser })
    assert.equal(silent.claims.sub, first.claims.sub)
    assert.equal(silent.claims.sid, first.claims.sid)
  })

  test('response_mode=form_post', async () => {
    const rp = await tool()
    const { url, checks } = await request(rp, { response_mode: 'form_post' })
    const page = await new Browser(demo).act(url, demo.person('M1'), { stop: rp.redirect })
    const form = page.form('answer-form')
    assert.equal(form.action.href, rp.redirect)
    const posted = new Request(form.action, { method: 'POST', body: form.fields })
    const tokens = await client.authorizationCodeGrant(rp.config, posted, checks)
    assert.equal(tokens.claims().nonce, checks.expectedNonce)
  })

  test('errors of the authorization endpoint', async () => {
    const rp = await tool()
    for (const [parameters, error] of [
      [{ scope: 'profile' }, 'invalid_scope'],
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ prompt: 'none login' }, 'invalid_request'],
      [{ request: 'eyJhbGciOiJub25lIn0.e30.' }, 'request_not_supported'],
      [{ max_age: 'soon' }, 'invalid_request'],
    ]) {
      const { url, checks } = await request(rp, parameters)
      const answer = await new Browser(demo).open(url, rp.redirect)
      assert.ok(answer instanceof URL, `${JSON.stringify(parameters)}: ${answer.text?.()}`)
      await refused(client.authorizationCodeGrant(rp.config, answer, checks), error)
    }
    const { url } = await request(rp, { redirect_uri: 'https://evil.example/' })
    const page = await new Browser(demo).open(url)
    assert.equal(page.status, 400)
    assert.ok(page.has('error'))
  })

  test('a person refuses', async () => {
    const rp = await tool()
    const { url, checks } = await request(rp, { scope: 'openid profile', prompt: 'consent' })
    const answer = await new Browser(demo).act(url, demo.person('M2'), { stop: rp.redirect, deny: true })
    await refused(client.authorizationCodeGrant(rp.config, answer, checks), 'access_denied')
  })

  test('RP-initiated logout', async () => {
    const rp = await portal()
    const first = await signIn(rp, demo.person('M1'), { scope: 'openid profile', vn_purpose: 'sign_in' })
    const back = `${demo.urls.portal}/signed-out`
    const url = client.buildEndSessionUrl(rp.config, { id_token_hint: first.tokens.id_token, post_logout_redirect_uri: back, state: 'over' })
    const end = await first.browser.open(url, back)
    assert.equal(end.href, `${back}?state=over`)
    const { url: silent, checks } = await request(rp, { prompt: 'none', scope: 'openid profile', vn_purpose: 'sign_in' })
    await refused(client.authorizationCodeGrant(rp.config, await first.browser.open(silent, rp.redirect), checks), 'login_required')
    const elsewhere = client.buildEndSessionUrl(rp.config, { id_token_hint: first.tokens.id_token, post_logout_redirect_uri: 'https://evil.example/' })
    assert.equal((await new Browser(demo).open(elsewhere)).status, 400)
  })
})

test('cookies of the provider over TLS', async () => {
  const rp = await tool()
  const { browser } = await signIn(rp, demo.person('M11'), { scope: 'openid profile' })
  assert.ok(browser.setCookies.length > 0)
  for (const line of browser.setCookies) {
    assert.match(line, /^__Host-idp_/)
    for (const attribute of ['Path=/', 'Secure', 'HttpOnly', 'SameSite=Lax']) assert.ok(line.includes(attribute), `${attribute}: ${line}`)
    assert.doesNotMatch(line, /domain=/i)
  }
})

// The demo's relying parties use it: discovery, keys, ID token, userinfo, and logout tokens.
describe('coreos/go-oidc', () => {
  for (const [key, learned] of [['portal', '"birthdate"'], ['airline', '"vn_id_card"'], ['bank', '"token_type": "DPoP"']]) {
    test(`signed in at the ${key}, signed out at the provider`, async () => {
      const [browser, other] = [new Browser(demo), new Browser(demo)]
      const page = await browser.act(`${demo.urls[key]}/login`, demo.person('M10'))
      for (const text of [demo.person('M10').name, learned]) assert.ok(page.text().includes(text), `${text}: ${page.text()}`)
      assert.ok((await other.act(`${demo.urls[key]}/login`, demo.person('M6'))).has('result'))
      const signedIn = async (who) => (await who.open(page.url)).has('result')
      assert.ok(await signedIn(browser))
      const leave = await browser.open(`${demo.issuer}/oauth2/logout`)
      assert.ok((await browser.submit(leave, 'logout-confirm', [])).has('logged-out'))
      for (let i = 0; i < 200 && (await signedIn(browser)); i++) await sleep(100)
      assert.ok(!(await signedIn(browser)), 'the logout token did not arrive, or was refused')
      assert.ok(await signedIn(other), 'somebody else is signed out, too')
    })
  }
})

describe('oauth4webapi', () => {
  test('a whole flow, with the rules of OAuth 2.1', async () => {
    const issuer = new URL(demo.issuer)
    const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' }))
    const facts = demo.client('tool')
    const rp = { client_id: facts.id, id_token_signed_response_alg: 'ES256', require_auth_time: true }
    const verifier = oauth.generateRandomCodeVerifier()
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
    const url = new URL(as.authorization_endpoint)
    url.search = new URLSearchParams({
      client_id: facts.id, response_type: 'code', redirect_uri: facts.redirect_uris[0], scope: 'openid profile', state, nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    })
    const answer = await new Browser(demo).act(url, demo.person('M2'), { stop: facts.redirect_uris[0] })
    const parameters = oauth.validateAuthResponse(as, rp, answer, state)
    const response = await oauth.authorizationCodeGrantRequest(as, rp, oauth.None(), parameters, facts.redirect_uris[0], verifier)
    const result = await oauth.processAuthorizationCodeResponse(as, rp, response, { expectedNonce: nonce, requireIdToken: true })
    await oauth.validateApplicationLevelSignature(as, response)
    const claims = oauth.getValidatedIdTokenClaims(result)
    assert.equal(claims.vn_account_level, 1)
    const info = await oauth.processUserInfoResponse(as, rp, claims.sub, await oauth.userInfoRequest(as, rp, result.access_token))
    assert.equal(info.name, demo.person('M2').name)
  })
})

describe('jose', () => {
  const keys = (address) => jose.createRemoteJWKSet(new URL(address))

  test('ID tokens against the published keys', async () => {
    const rp = await tool()
    const { tokens } = await signIn(rp, demo.person('M10'), { scope: 'openid profile' })
    const set = keys(rp.config.serverMetadata().jwks_uri)
    const { payload, protectedHeader } = await jose.jwtVerify(tokens.id_token, set, {
      issuer: demo.issuer, audience: rp.facts.id, algorithms: ['ES256'], maxTokenAge: '1m', requiredClaims: ['sub', 'nonce', 'auth_time', 'acr', 'amr', 'sid', 'exp'],
    })
    assert.ok(protectedHeader.kid)
    assert.equal(payload.exp - payload.iat, 300)
    const [head, body, signature] = tokens.id_token.split('.')
    const other = jose.base64url.encode(JSON.stringify({ ...payload, vn_account_level: 9 }))
    await assert.rejects(jose.jwtVerify([head, other, signature].join('.'), set), jose.errors.JWSSignatureVerificationFailed)
    assert.equal(jose.decodeJwt([head, body, signature].join('.')).sub, payload.sub)
  })

  test('a QR assertion at the gate, and the same code once more', async () => {
    const person = demo.person('M1')
    const page = await new Browser(demo).act(`${demo.issuer}/qr/consent?verifier=demo-airline&purpose=boarding`, person)
    const text = page.html.match(/id="qr-text">([^<]*)</)[1]
    assert.match(text, new RegExp(`^HTTPS://LOCALHOST:[0-9]+/Q/[A-Z2-7]{26}$`))
    const facts = demo.client('airline')
    const nonce = 'n'.repeat(22)
    const redeem = () =>
      fetch(`${demo.issuer}/qrshare/v1/redeem`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Basic ${btoa(`${encodeURIComponent(facts.id)}:${encodeURIComponent(facts.secret)}`)}` },
        body: JSON.stringify({ ref: text.split('/').at(-1), nonce }),
      })
    const { assertion } = await (await redeem()).json()
    const { payload } = await jose.jwtVerify(assertion, keys(`${demo.issuer}/qrshare/v1/keys`), {
      issuer: demo.issuer, audience: facts.id, typ: 'eid-assertion+jwt', algorithms: ['ES256'], maxTokenAge: '60s',
      requiredClaims: ['sub', 'nonce', 'jti', 'purpose', 'consent_id', 'vn_account_level', 'vn_card_status', 'acr', 'claims'],
    })
    assert.equal(payload.nonce, nonce)
    assert.equal(payload.claims.name, person.name)
    const again = await redeem()
    assert.equal(again.status, 404)
    assert.deepEqual(await again.json(), { error: 'not_found' })
  })
})
