// openid-client registers itself with an invitation (RFC 7591), signs somebody in, and ends (RFC 7592).

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import * as client from 'openid-client'

import { Browser } from './browser.js'
import { startDemo } from './demo.js'

const redirect = 'https://shop.example/cb'
const invitation = `for: Corner Shop
agreement: {number: "1/2026", date: "2026-01-02", reviewer: R}
purposes:
  - {id: sign_in, text: Sign in, legal_basis: Law, retention: P1Y, scopes: {required: [profile]}}
`
let demo

before(async () => {
  demo = await startDemo({ settings: { IDP_DYNAMIC_REGISTRATION: '1' } })
})
after(() => demo?.stop())

async function invite() {
  const printed = await demo.idp('client', 'invite', '-f', await demo.file('invitation.yaml', invitation))
  return printed.match(/shown only now: (\S+)/)[1]
}

const register = (initialAccessToken, metadata) =>
  client.dynamicClientRegistration(new URL(demo.issuer), { redirect_uris: [redirect], client_name: 'Corner Shop', ...metadata },
    client.ClientSecretBasic(), { initialAccessToken })

test('openid-client registers itself, signs somebody in and ends its registration', async () => {
  const config = await register(await invite(), { id_token_signed_response_alg: 'ES256' })
  client.enableNonRepudiationChecks(config)
  const facts = config.clientMetadata()
  assert.equal(facts.scope, 'openid profile')

  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const checks = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true }
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: redirect, scope: 'openid profile', state: checks.expectedState, nonce: checks.expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
  })
  const answer = await new Browser(demo).act(url, demo.person('M1'), { stop: redirect })
  assert.ok(answer instanceof URL, answer.text?.())
  const tokens = await client.authorizationCodeGrant(config, answer, checks)
  const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
  assert.equal(person.name, demo.person('M1').name)

  const headers = { authorization: `Bearer ${facts.registration_access_token}` }
  const shown = await fetch(facts.registration_client_uri, { headers })
  assert.equal(shown.status, 200)
  assert.equal((await shown.json()).client_id, facts.client_id)
  assert.equal((await fetch(facts.registration_client_uri, { method: 'DELETE', headers })).status, 204)
  assert.equal((await fetch(facts.registration_client_uri, { headers })).status, 401)
  await assert.rejects(client.fetchUserInfo(config, tokens.access_token, person.sub))
})

test('openid-client understands why it may not register', async () => {
  const token = await invite()
  await assert.rejects(register(token, { redirect_uris: ['https://shop.example/*'] }),
    (err) => err.error === 'invalid_redirect_uri' && err.error_description.includes('byte for byte'))
  await assert.rejects(register(token, { grant_types: ['client_credentials'] }), (err) => err.error === 'invalid_client_metadata')
  await register(token, { client_name: 'Another Shop' })
  await assert.rejects(register(token), (err) => err.cause?.[0]?.parameters?.error === 'invalid_token')
})
