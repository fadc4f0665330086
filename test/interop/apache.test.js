// Debian's mod_auth_openidc (2.4.12 in Debian 12) behind Apache, in front of an application that
// knows nothing of all this. That version has neither PAR nor DPoP.

import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { startApache } from './apache.js'
import { Browser, Page } from './browser.js'
import { free, startDemo } from './demo.js'

const registration = ({ id, port }, more) => `
  - client_id: ${id}
    client_name: ${id}
    domain: ${id}.example
    redirect_uris: ["https://localhost:${port}/app/callback"]
    post_logout_redirect_uris: ["https://localhost:${port}/bye"]
    backchannel_logout_uri: "https://localhost:${port}/app/callback?logout=backchannel"
    grant_types: [authorization_code, refresh_token]
    agreement: {number: 30/2026/KN-ĐD, date: "2026-03-01", reviewer: Phòng Kết nối}
    purposes:
      - {id: sign_in, text: Sign in, legal_basis: Tests, retention: P1D, scopes: {required: [profile], optional: [email]}}
    ${more.join('\n    ')}`

// The two ways in which a site proves that it is the client.
const sites = {
  client_secret_basic: {
    id: 'apache-secret',
    registered: () => ['client_secret: generate'],
    directives: ({ secret }) => [`OIDCClientSecret ${secret}`],
  },
  // Apache publishes the key; the provider fetches it.
  private_key_jwt: {
    id: 'apache-key',
    registered: ({ port }) => [
      'token_endpoint_auth_method: private_key_jwt', `jwks_uri: "https://localhost:${port}/app/callback?jwks=rsa"`,
      'id_token_signed_response_alg: RS256',
    ],
    files: () => {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      return { 'key.pem': privateKey.export({ type: 'pkcs8', format: 'pem' }), 'public.pem': publicKey.export({ type: 'spki', format: 'pem' }) }
    },
    directives: () => ['OIDCPrivateKeyFiles k1#key.pem', 'OIDCPublicKeyFiles k1#public.pem'],
  },
}
let demo, apache

before(async () => {
  for (const site of Object.values(sites)) site.port = await free()
  demo = await startDemo({ clients: 'clients:' + Object.values(sites).map((site) => registration(site, site.registered(site))).join('') })
  apache = await startApache(demo, Object.entries(sites).map(([method, { id, port, files, directives }]) => ({
    port, files: files?.() ?? {},
    directives: [`OIDCClientID ${id}`, 'OIDCScope "openid profile email offline_access"', ...directives(demo.client(id)), `OIDCProviderTokenEndpointAuth ${method}`],
  })))
})
after(async () => {
  await apache?.stop()
  await demo?.stop()
})

for (const [method, site] of Object.entries(sites)) {
  const at = (path) => `https://localhost:${site.port}${path}`
  const signIn = async (key) => {
    const browser = new Browser(demo)
    const page = await browser.act(at('/app/desk'), demo.person(key), { items: ['email', 'offline_access'] })
    assert.equal(page.status, 200, page.text() + await apache.log())
    return { browser, headers: JSON.parse(page.html).headers }
  }
  // Whether Apache lets the browser through to the application, or sends it to the provider.
  const signedIn = async (browser) => {
    const page = await browser.open(at('/app/desk'), demo.issuer)
    return page instanceof Page && page.status === 200 && JSON.parse(page.html).headers.oidc_claim_sub !== undefined
  }
  const session = async (browser, query = '') => JSON.parse((await browser.open(at(`/app/callback?info=json${query}`))).html)
  const gone = async (browser) => {
    for (let i = 0; i < 200 && (await signedIn(browser)); i++) await sleep(100)
    assert.equal(await signedIn(browser), false, 'Apache still knows the session' + await apache.log())
  }

  describe(`mod_auth_openidc with ${method}`, () => {
    test('the request has PKCE, state and nonce', async () => {
      const { searchParams } = await new Browser(demo).open(at('/app/desk'), demo.issuer)
      assert.equal(searchParams.get('code_challenge_method'), 'S256')
      for (const name of ['code_challenge', 'state', 'nonce']) assert.ok(searchParams.get(name), name)
    })

    test('what was agreed to reaches the application', async () => {
      const person = demo.person('M1')
      const { headers } = await signIn(person.key)
      assert.equal(Buffer.from(headers.oidc_claim_name, 'latin1').toString(), person.name)
      assert.equal(headers.oidc_claim_iss, demo.issuer)
      assert.equal(headers.oidc_claim_aud, site.id)
      assert.equal(headers.oidc_claim_vn_account_level, '2')
      assert.equal(headers.oidc_claim_email_verified, '1')
      assert.equal(headers.oidc_claim_phone_number, undefined)
      assert.ok(headers.oidc_access_token)
    })

    test('tokens are refreshed', async () => {
      const { browser } = await signIn('M10')
      const first = await session(browser)
      const second = await session(browser, '&access_token_refresh_interval=0')
      const third = await session(browser, '&access_token_refresh_interval=0')
      assert.equal(new Set([first, second, third].map((info) => info.access_token)).size, 3)
      assert.equal(new Set([first, second, third].map((info) => info.refresh_token)).size, 3)
      assert.equal(third.id_token.sub, first.id_token.sub)
      assert.equal(third.id_token.auth_time, first.id_token.auth_time)
      assert.equal(third.userinfo.name, demo.person('M10').name)
    })

    for (const refreshed of [false, true]) {
      test(`RP-initiated logout${refreshed ? ' after a refresh' : ''}`, async () => {
        const { browser } = await signIn('M11')
        if (refreshed) await session(browser, '&access_token_refresh_interval=0')
        const end = await browser.open(at(`/app/callback?logout=${encodeURIComponent(at('/bye'))}`))
        assert.equal(end.url.href, at('/bye'), end.text())
        assert.equal(await signedIn(browser), false)
        assert.ok((await browser.open(at('/app/desk'))).has('login-form'), 'the provider has forgotten the person, too')
      })
    }

    test('back-channel logout', async () => {
      const { browser } = await signIn('M1')
      const { browser: refreshed } = await signIn('M10')
      const { browser: other } = await signIn('M11')
      await session(refreshed, '&access_token_refresh_interval=0')
      for (const leaving of [browser, refreshed]) {
        assert.ok(await signedIn(leaving))
        const page = await leaving.open(`${demo.issuer}/oauth2/logout`)
        assert.ok((await leaving.submit(page, 'logout-confirm', [])).has('logged-out'))
        await gone(leaving)
      }
      assert.ok(await signedIn(other), 'the session of somebody else is not touched')
    })
  })
}
