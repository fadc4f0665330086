// Ten thousand tokens, good ones and bent ones, that the provider's own code has judged
// (provider/verdicts_test.go): jose has to come to the same verdicts.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'

import * as jose from 'jose'

const { IDP_VERDICTS } = process.env
if (!IDP_VERDICTS) throw new Error('run this through scripts/interop.sh')

const [head, ...tokens] = (await readFile(IDP_VERDICTS, 'utf8')).trim().split('\n').map((line) => JSON.parse(line))
const keys = Object.fromEntries(Object.entries(head.keys).map(([name, set]) => [name, jose.createLocalJWKSet(set)]))
keys.embedded = jose.EmbeddedJWK

async function accepts(token, { keys: name, typs, equal = {}, ...rules }) {
  for (const typ of typs) {
    try {
      const { payload, protectedHeader } = await jose.jwtVerify(token, keys[name], { ...rules, typ: typ || undefined, currentDate: new Date(head.now * 1000) })
      if (!typ && protectedHeader.typ !== undefined) continue
      return Object.entries(equal).every(([claim, value]) => payload[claim] === value)
    } catch (err) {
      if (!(err instanceof jose.errors.JOSEError || err instanceof TypeError || err instanceof DOMException)) throw err
    }
  }
  return false
}

test(`jose and the provider judge alike (IDP_SEED=${head.seed})`, async () => {
  const disagreements = []
  for (const { kind, bent, token, accepted, strict } of tokens)
    if (!strict && (await accepts(token, head.kinds[kind])) !== accepted)
      disagreements.push(`${kind}, ${bent ?? 'good'}: accepted by ${accepted ? 'us' : 'jose'} alone: ${token}`)
  assert.deepEqual(disagreements, [])
  assert.equal(tokens.filter((one) => !one.strict).length, 10_000)
})

// In what jose forgives the provider is stricter, and never the other way round.
test('what only the provider refuses', async () => {
  const forgiven = new Map()
  for (const { kind, bent, token, accepted } of tokens.filter((one) => one.strict)) {
    assert.equal(accepted, false, `${kind}, ${bent}: ${token}`)
    forgiven.set(bent, forgiven.get(bent) || (await accepts(token, head.kinds[kind])))
  }
  for (const [bent, byJose] of forgiven) assert.ok(byJose, `${bent}: no difference any more, so it belongs to those that both judge`)
})
