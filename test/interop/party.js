// What relying parties of these tests have in common.

import assert from 'node:assert/strict'

import * as client from 'openid-client'

// An authorization request with PKCE, state and nonce, and what has to be checked of its answer.
export async function request({ config, redirect }, parameters) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const checks = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true }
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: redirect, scope: 'openid', state: checks.expectedState, nonce: checks.expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256', ...parameters,
  })
  return { url, checks }
}

export async function refused(promise, error) {
  await assert.rejects(promise, (err) => {
    assert.equal(err.error ?? err.cause?.[0]?.parameters?.error, error, err.stack)
    return true
  })
}

// The person helps a device: opens the address that it shows, and agrees.
export async function approve(browser, shown, person) {
  const code = await browser.act(shown.verification_uri_complete, person)
  const warning = await browser.submit(code, 'device-submit', [['user_code', shown.user_code]])
  const asked = await browser.submit(warning, 'device-continue', [['action', 'continue']])
  const approved = asked.has('consent-form') ? await browser.submit(asked, 'consent-form',
    [...(asked.has('passcode') ? [['passcode', person.passcode]] : []), ['decision', 'allow']]) : asked
  assert.ok(approved.has('device-approved'), approved.text())
}
