// openid-client and oauth4webapi with everything that a registration can switch on: pushed and signed
// requests, signed answers in every mode, bound tokens for a resource, signed and encrypted ID
// tokens, userinfo and introspection, once with each family of keys; and a client with a certificate.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { request as send } from 'node:https'
import { after, before, describe, test } from 'node:test'

import * as jose from 'jose'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'

import { Browser } from './browser.js'
import { startDemo } from './demo.js'
import { approve, refused, request } from './party.js'

const redirect = 'https://lab.example/callback'
const resource = 'https://api.lab.example'
const device = 'urn:ietf:params:oauth:grant-type:device_code'

// The keys of a client by its algorithms: one to sign with, one that answers are encrypted to.
const families = [
  { sig: 'ES256', enc: 'ECDH-ES' },
  { sig: 'PS256', enc: 'RSA-OAEP-256' },
  { sig: 'EdDSA', enc: 'ECDH-ES+A256KW' },
]
// openid-client calls Ed25519 signatures by the name of RFC 9864, which the provider does not list.
const named = { [client.modifyAssertion]: (header) => { if (header.alg === 'Ed25519') header.alg = 'EdDSA' } }

async function registration(family) {
  const { sig, enc } = family
  Object.assign(family, { id: `lab-${sig}`, signing: await jose.generateKeyPair(sig), sealing: await jose.generateKeyPair(enc),
    proving: await client.randomDPoPKeyPair(sig === 'EdDSA' ? 'Ed25519' : sig) })
  const jwks = await Promise.all([['sig', sig, family.signing], ['enc', enc, family.sealing]]
    .map(async ([use, alg, { publicKey }]) => ({ ...await jose.exportJWK(publicKey), kid: `${use}-1`, use, alg })))
  return `
  - client_id: ${family.id}
    client_name: ${family.id}
    domain: lab.example
    redirect_uris: ["${redirect}"]
    grant_types: [authorization_code, refresh_token, client_credentials, "${device}"]
    token_endpoint_auth_method: private_key_jwt
    jwks: ${JSON.stringify({ keys: jwks })}
    resources: ["${resource}"]
    id_token_signed_response_alg: ${sig}
    id_token_encrypted_response_alg: ${enc}
    userinfo_signed_response_alg: ${sig}
    userinfo_encrypted_response_alg: ${enc}
    introspection_signed_response_alg: ${sig}
    introspection_encrypted_response_alg: ${enc}
    authorization_signed_response_alg: ${sig}
    agreement: {number: 31/2026/KN-ĐD, date: "2026-03-01", reviewer: Phòng Kết nối}
    purposes:
      - {id: sign_in, text: Sign in, legal_basis: Tests, retention: P1D, scopes: {required: [profile]}}`
}

// A client that proves itself by a certificate of its own making (RFC 8705, section 2.2).
const certificate = { id: 'lab-certificate' }

function registerCertificate() {
  const pem = execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=lab', '-keyout', '-', '-out', '-'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const x509 = new X509Certificate(pem.slice(pem.indexOf('-----BEGIN CERTIFICATE')))
  Object.assign(certificate, { key: pem, cert: x509.toString() })
  const jwk = { ...x509.publicKey.export({ format: 'jwk' }), x5c: [x509.raw.toString('base64')] }
  return `
  - client_id: ${certificate.id}
    class: regulated
    client_name: ${certificate.id}
    domain: lab.example
    redirect_uris: ["${redirect}"]
    grant_types: [authorization_code, refresh_token]
    token_endpoint_auth_method: self_signed_tls_client_auth
    jwks: ${JSON.stringify({ keys: [jwk] })}
    tls_client_certificate_bound_access_tokens: true
    agreement: {number: 32/2026/KN-ĐD, date: "2026-03-01", reviewer: Phòng Kết nối}
    purposes:
      - {id: sign_in, text: Sign in, legal_basis: Tests, retention: P1D, scopes: {required: [profile]}}`
}

// fetch over connections with a certificate.
const fetchWith = ({ key, cert }) => (url, { method, headers, body }) => new Promise((resolve, reject) => {
  const request = send(url, { method, headers: Object.fromEntries(new Headers(headers)), key, cert, agent: false }, async (answer) => {
    const parts = []
    for await (const part of answer) parts.push(part)
    resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers }))
  })
  request.on('error', reject).end(body?.toString())
})
let demo

before(async () => {
  demo = await startDemo({ clients: ['clients:', ...await Promise.all(families.map(registration)), registerCertificate()].join('') })
})
after(() => demo?.stop())

for (const family of families) {
  const { sig } = family

  // A relying party with all checks on.
  const party = async () => {
    const { id, signing, sealing, proving } = family
    const key = { key: signing.privateKey, kid: 'sig-1' }
    const config = await client.discovery(new URL(demo.issuer), id, {
      id_token_signed_response_alg: sig, userinfo_signed_response_alg: sig, introspection_signed_response_alg: sig, authorization_signed_response_alg: sig,
    }, client.PrivateKeyJwt(key, named))
    client.enableNonRepudiationChecks(config)
    client.enableDecryptingResponses(config, ['A256GCM'], { key: sealing.privateKey, alg: family.enc, kid: 'enc-1' })
    return { config, redirect, key, DPoP: client.getDPoPHandle(config, proving, named) }
  }

  // Signs somebody in; sent says how the request travels.
  const signIn = async (rp, sent, parameters) => {
    const { url, checks } = await request(rp, parameters)
    const address = await sent(rp, url.searchParams)
    const answer = await new Browser(demo).act(address, demo.person('M10'), { stop: redirect, items: ['offline_access'] })
    return { answer, checks }
  }
  const signed = (rp, parameters) => client.buildAuthorizationUrlWithJAR(rp.config, parameters, rp.key, named)
  const pushed = (rp, parameters) => client.buildAuthorizationUrlWithPAR(rp.config, parameters, { DPoP: rp.DPoP })
  const both = async (rp, parameters) => pushed(rp, (await signed(rp, parameters)).searchParams)

  describe(`${sig}, ${family.enc}`, () => {
    for (const [mode, how, sent] of [['jwt', 'signed', signed], ['query.jwt', 'pushed', pushed], ['fragment.jwt', 'signed and pushed', both], ['form_post.jwt', 'pushed', pushed]]) {
      test(`a request that is ${how}, the answer in ${mode}`, async () => {
        const rp = await party()
        const { answer, checks } = await signIn(rp, sent, { response_mode: mode, scope: 'openid profile' })
        let seen = answer
        if (mode === 'fragment.jwt') {
          assert.equal(answer.search, '')
          seen = new URL(`${redirect}?${answer.hash.slice(1)}`) // what its page does with it
        } else if (mode === 'form_post.jwt') {
          const form = answer.form('answer-form')
          assert.deepEqual([...form.fields.keys()], ['response'])
          seen = new Request(form.action, { method: 'POST', body: form.fields })
        }
        client.useJwtResponseMode(rp.config) // only now: it asks for the mode jwt itself
        const tokens = await client.authorizationCodeGrant(rp.config, seen, checks, undefined, { DPoP: rp.DPoP })
        assert.equal(tokens.token_type, 'dpop')
        assert.equal(tokens.claims().nonce, checks.expectedNonce)
        assert.equal((await client.fetchUserInfo(rp.config, tokens.access_token, tokens.claims().sub, { DPoP: rp.DPoP })).name, demo.person('M10').name)
      })
    }

    test('a refusal is signed, too', async () => {
      const rp = await party()
      const { answer, checks } = await signIn(rp, both, { response_mode: 'jwt', scope: 'openid profile', prompt: 'none' })
      client.useJwtResponseMode(rp.config)
      await refused(client.authorizationCodeGrant(rp.config, answer, checks), 'login_required')
    })

    test('ID token and userinfo are encrypted, and nothing else in them', async () => {
      const rp = await party()
      const { answer, checks } = await signIn(rp, signed, { scope: 'openid profile' })
      const tokens = await client.authorizationCodeGrant(rp.config, answer, checks)
      assert.equal(tokens.token_type, 'bearer')
      const { alg, enc, cty, kid } = jose.decodeProtectedHeader(tokens.id_token)
      assert.deepEqual({ alg, enc, cty, kid }, { alg: family.enc, enc: 'A256GCM', cty: 'JWT', kid: 'enc-1' })
      const info = await fetch(rp.config.serverMetadata().userinfo_endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } })
      assert.equal(info.headers.get('content-type'), 'application/jwt')
      assert.equal(jose.decodeProtectedHeader(await info.text()).alg, family.enc)
    })

    test('a token for a resource, which checks it by itself', async () => {
      const rp = await party()
      const { answer, checks } = await signIn(rp, both, { scope: 'openid profile offline_access', prompt: 'consent', resource })
      const tokens = await client.authorizationCodeGrant(rp.config, answer, checks, { resource }, { DPoP: rp.DPoP })
      const renewed = await client.refreshTokenGrant(rp.config, tokens.refresh_token, { resource }, { DPoP: rp.DPoP })
      const as = rp.config.serverMetadata()
      // The request as it reaches the resource.
      const received = async (token, DPoP) => {
        let arrived
        rp.config[client.customFetch] = async (url, init) => ((arrived = new Request(url, init)), new Response())
        await client.fetchProtectedResource(rp.config, token, new URL(`${resource}/accounts`), 'GET', undefined, undefined, { DPoP })
        rp.config[client.customFetch] = undefined
        return arrived
      }
      for (const { access_token: token } of [tokens, renewed]) {
        const claims = await oauth.validateJwtAccessToken(as, await received(token, rp.DPoP), resource, { requireDPoP: true })
        assert.equal(claims.client_id, family.id)
        assert.equal(claims.scope, 'openid profile offline_access')
        await assert.rejects(oauth.validateJwtAccessToken(as, await received(token, rp.DPoP), 'https://other.lab.example'), /"aud"/)
        const thief = client.getDPoPHandle(rp.config, await client.randomDPoPKeyPair('ES256'))
        await assert.rejects(oauth.validateJwtAccessToken(as, await received(token, thief), resource), /confirmation mismatch/)
      }
      const elsewhere = await signIn(rp, pushed, { scope: 'openid', resource: 'https://other.lab.example' }).catch((err) => err)
      assert.equal(elsewhere.error, 'invalid_target')
    })

    test('signed and encrypted introspection, before and after revocation', async () => {
      const rp = await party()
      const { answer, checks } = await signIn(rp, pushed, { scope: 'openid profile' })
      const tokens = await client.authorizationCodeGrant(rp.config, answer, checks, undefined, { DPoP: rp.DPoP })
      const said = await client.tokenIntrospection(rp.config, tokens.access_token)
      assert.equal(said.active, true)
      assert.equal(said.sub, tokens.claims().sub)
      assert.equal(said.token_type, 'DPoP')
      assert.ok(said.cnf.jkt)
      await client.tokenRevocation(rp.config, tokens.access_token)
      assert.deepEqual(await client.tokenIntrospection(rp.config, tokens.access_token), { active: false })
    })

    test('a device with a key of its own', async () => {
      const rp = await party()
      const shown = await client.initiateDeviceAuthorization(rp.config, { scope: 'openid profile' })
      await approve(new Browser(demo), shown, demo.person('M11'))
      // The first proof has no nonce yet: the call is made twice, and is one call.
      const tokens = await client.genericGrantRequest(rp.config, device, { device_code: shown.device_code }, { DPoP: rp.DPoP })
      assert.equal(tokens.token_type, 'dpop')
      const { name } = await client.fetchUserInfo(rp.config, tokens.access_token, client.skipSubjectCheck, { DPoP: rp.DPoP })
      assert.equal(name, demo.person('M11').name)
    })

    test('client_credentials, bound and for a resource', async () => {
      const rp = await party()
      const tokens = await client.clientCredentialsGrant(rp.config, { resource }, { DPoP: rp.DPoP })
      assert.equal(tokens.token_type, 'dpop')
      assert.equal(jose.decodeJwt(tokens.access_token).sub, family.id)
    })
  })
}

test('a client with a certificate: PAR, tokens that are bound to it, refresh', async () => {
  const config = await client.discovery(new URL(demo.issuer), certificate.id, { use_mtls_endpoint_aliases: true, id_token_signed_response_alg: 'ES256' }, client.TlsClientAuth())
  client.enableNonRepudiationChecks(config)
  config[client.customFetch] = fetchWith(certificate)
  const { url, checks } = await request({ config, redirect }, { scope: 'openid profile offline_access', prompt: 'consent' })
  const address = await client.buildAuthorizationUrlWithPAR(config, url.searchParams)
  const answer = await new Browser(demo).act(address, demo.person('M10'), { stop: redirect, items: ['offline_access'] })
  const tokens = await client.authorizationCodeGrant(config, answer, checks)
  const renewed = await client.refreshTokenGrant(config, tokens.refresh_token)
  for (const { access_token: token } of [tokens, renewed]) {
    config[client.customFetch] = fetchWith(certificate)
    assert.equal((await client.fetchUserInfo(config, token, tokens.claims().sub)).name, demo.person('M10').name)
    config[client.customFetch] = fetchWith({}) // the same listener, no certificate
    await refused(client.fetchUserInfo(config, token, tokens.claims().sub), 'invalid_token')
  }
})
