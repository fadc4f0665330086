// Starts Debian's Apache with mod_auth_openidc in front of an application: a web server that tells
// which headers reach it. Nothing of the system's own Apache is used but the programs.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const modules = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'ssl', 'socache_shmcb', 'proxy', 'proxy_http', 'auth_openidc']

// Each site is a virtual host with a registration of its own: { port, directives, files }, where
// files are contents by name.
export async function startApache(demo, sites) {
  const { TLS_CERT_FILE, TLS_KEY_FILE } = process.env
  const dir = await mkdtemp(join(tmpdir(), 'interop-apache-'))
  await chmod(dir, 0o755) // the workers are not root
  const application = createServer((request, answer) => answer.end(JSON.stringify({ path: request.url, headers: request.headers })))
  application.listen(0, '127.0.0.1')
  await once(application, 'listening')
  await writeFile(join(dir, 'ca.pem'), await readFile(TLS_CERT_FILE), { mode: 0o644 })
  await writeFile(join(dir, 'apache.conf'), `
ServerRoot ${dir}
ServerName localhost
DefaultRuntimeDir ${dir}
PidFile ${dir}/pid
ErrorLog ${dir}/error.log
LogLevel warn
${process.getuid() === 0 ? 'User www-data\nGroup www-data' : ''}
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
OIDCCABundlePath ${dir}/ca.pem
OIDCCacheType shm
OIDCSessionType server-cache
${sites.map(({ port, directives }) => `
Listen 127.0.0.1:${port} https
Listen [::1]:${port} https
<VirtualHost *:${port}>
  SSLEngine on
  SSLCertificateFile ${TLS_CERT_FILE}
  SSLCertificateKeyFile ${TLS_KEY_FILE}
  OIDCProviderMetadataURL ${demo.issuer}/.well-known/openid-configuration
  OIDCRedirectURI https://localhost:${port}/app/callback
  OIDCCryptoPassphrase "sealed for ${port}"
  OIDCPKCEMethod S256
  OIDCPassClaimsAs headers
  OIDCInfoHook iat access_token id_token userinfo refresh_token
  ${directives.join('\n  ')}
  ProxyPass /app/callback !
  ProxyPass / http://127.0.0.1:${application.address().port}/
  <Location /app>
    AuthType openid-connect
    Require valid-user
    # Our browser is a program, and its fetch calls every request one of a script.
    OIDCUnAuthAction auth true
  </Location>
</VirtualHost>`).join('\n')}
`)
  for (const { files } of sites)
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text, { mode: 0o600 })
  const child = spawn('/usr/sbin/apache2', ['-d', dir, '-f', join(dir, 'apache.conf'), '-DFOREGROUND'], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text))
  const log = async () => said + (await readFile(join(dir, 'error.log'), 'utf8').catch(() => ''))
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    await ended
    application.closeAllConnections()
    application.close()
    await rm(dir, { recursive: true, force: true })
  }
  for (let i = 0; i < 300 && child.exitCode === null; i++) {
    try {
      await fetch(`https://localhost:${sites[0].port}/public`)
      return { log, stop }
    } catch {
      await sleep(100)
    }
  }
  const why = await log()
  await stop()
  throw new Error(`Apache does not answer: ${why}`)
}
