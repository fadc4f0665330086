// Starts the demo with TLS and tells what demo.json tells.
//
//   IDP_BINARY     the program (scripts/interop.sh builds it)
//   TLS_CERT_FILE  certificate for localhost; Node trusts it through NODE_EXTRA_CA_CERTS
//   TLS_KEY_FILE   its key

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const offsets = [0, 1, 11, 12, 13, 19] // of the demo's ports

// A free port, or 0 when the one that is asked for is taken.
export async function free(port = 0) {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return server.address().port
  } catch {
    return 0
  } finally {
    server.close()
  }
}

async function freeBase() {
  for (let i = 0; i < 50; i++) {
    const base = await free()
    const taken = await Promise.all(offsets.map((offset) => free(base + offset)))
    if (base < 65000 && taken.every(Boolean)) return base
  }
  throw new Error('no free ports')
}

// clients is the text of a file with further clients, as for -clients; settings are further IDP_ settings.
export async function startDemo({ clients, settings } = {}) {
  const { IDP_BINARY, TLS_CERT_FILE, TLS_KEY_FILE, ...env } = process.env
  if (!IDP_BINARY || !TLS_CERT_FILE || !TLS_KEY_FILE) throw new Error('run this through scripts/interop.sh')
  for (const name of Object.keys(env)) if (name.startsWith('IDP_')) delete env[name]
  const base = await freeBase()
  const issuer = `https://localhost:${base}`
  const data = await mkdtemp(join(tmpdir(), 'interop-'))
  const args = ['demo', '-data', data, '-base-port', String(base), '-issuer', issuer]
  if (clients) {
    args.push('-clients', join(data, 'clients.yaml'))
    await writeFile(args.at(-1), clients)
  }
  const child = spawn(IDP_BINARY, args, {
    // SSL_CERT_FILE: relying parties with that certificate are believed, as those with one of an authority would be.
    env: { ...env, IDP_TLS_CERT_FILE: TLS_CERT_FILE, IDP_TLS_KEY_FILE: TLS_KEY_FILE, SSL_CERT_FILE: TLS_CERT_FILE, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'exit')
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text))
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    await ended
    await rm(data, { recursive: true, force: true })
  }
  // The program beside the demo, as an operator uses it; what it prints.
  const idp = async (...args) => (await promisify(execFile)(IDP_BINARY, args, { env: { ...env, IDP_DATA_DIR: data } })).stdout
  const file = async (name, text) => {
    const path = join(data, name)
    await writeFile(path, text)
    return path
  }
  for (let i = 0; i < 300; i++) {
    if (child.exitCode !== null) break
    try {
      const facts = await (await fetch(`${issuer}/demo.json`)).json()
      const find = (list) => (key) => list.find((one) => one.key === key)
      return { ...facts, client: find(facts.clients), person: find(facts.people), idp, file, stop }
    } catch {
      await sleep(100)
    }
  }
  await stop()
  throw new Error(`the demo does not answer: ${said}`)
}

// The newest code that was sent to a person.
export async function code(demo, person) {
  const sent = await (await fetch(`${demo.outbox}?to=${encodeURIComponent(person.phone)}`)).json()
  return sent.filter((message) => message.code).at(-1).code
}
