// A browser without scripts: cookies, redirects, forms. It reads only the markup of the demo's own
// pages, so a few expressions do for a parser.

import { code } from './demo.js'

const attribute = (tag, name) => decode(tag.match(new RegExp(`\\s${name}="([^"]*)"`))?.[1])
const decode = (text) =>
  text?.replace(/&#(\d+);/g, (_, n) => String.fromCodePoint(n)).replace(/&#x([0-9a-f]+);/gi, (_, n) => String.fromCodePoint(parseInt(n, 16)))
    .replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&')

export class Page {
  constructor(url, status, html) {
    Object.assign(this, { url, status, html })
  }

  has(id) {
    return this.html.includes(`id="${id}"`)
  }

  // The form with that id: address, method and what its hidden fields hold.
  form(id) {
    const form = [...this.html.matchAll(/<form\b[^>]*>[\s\S]*?<\/form>/g)].map(([text]) => text).find((text) => text.includes(`id="${id}"`))
    if (!form) throw new Error(`${this.url} (${this.status}) has no form ${id}: ${this.text()}`)
    const head = form.match(/<form\b[^>]*>/)[0]
    const fields = new URLSearchParams()
    for (const [input] of form.matchAll(/<input\b[^>]*>/g))
      if (attribute(input, 'type') === 'hidden') fields.append(attribute(input, 'name'), attribute(input, 'value') ?? '')
    return { action: new URL(attribute(head, 'action'), this.url), fields }
  }

  link(id) {
    const tag = this.html.match(new RegExp(`<a\\b[^>]*id="${id}"[^>]*>`))?.[0]
    return new URL(attribute(tag, 'href'), this.url)
  }

  text() {
    return decode(this.html.replace(/<(script|style)[\s\S]*?<\/\1>/g, '').replace(/<[^>]*>/g, ' ')).replace(/\s+/g, ' ')
  }
}

export class Browser {
  #cookies = new Map()
  setCookies = [] // Set-Cookie lines of the provider

  constructor(demo) {
    this.demo = demo
  }

  // Follows redirects until one leads to `stop`, which is returned as a URL, or a page is shown.
  async open(url, stop, init = {}) {
    for (let i = 0; i < 20; i++) {
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
      const response = await fetch(url, { ...init, redirect: 'manual', headers: { ...init.headers, cookie, accept: 'text/html', 'accept-language': 'en' } })
      for (const line of response.headers.getSetCookie()) {
        this.#keep(line)
        if (new URL(url).origin === this.demo.issuer) this.setCookies.push(line)
      }
      const html = await response.text()
      if (response.status < 300 || response.status > 399) return new Page(new URL(url), response.status, html)
      url = new URL(response.headers.get('location'), url)
      init = {}
      if (stop && url.href.startsWith(stop)) return url
    }
    throw new Error(`too many redirects, last to ${url}`)
  }

  #keep(line) {
    const [pair] = line.split(';')
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
    if (/max-age=(0|-)/i.test(line)) this.#cookies.delete(name)
    else this.#cookies.set(name, value)
  }

  submit(page, id, fields, stop) {
    const form = page.form(id)
    for (const [name, value] of fields) form.fields.append(name, value)
    return this.open(form.action, stop, {
      method: 'POST',
      body: form.fields.toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: form.action.origin, 'sec-fetch-site': 'same-origin' },
    })
  }

  // Plays the person: signs in, types the code and agrees, as often as asked. Ends at `stop`, or on
  // a page on which there is nothing of the kind to do.
  async act(url, person, { stop, items = [], deny = false } = {}) {
    this.trail = []
    let page = await this.open(url, stop)
    for (let i = 0; i < 6 && page instanceof Page; i++) {
      if (page.has('login-form')) {
        this.trail.push('login')
        page = await this.submit(page, 'login-form', [['username', person.number], ['password', person.password]], stop)
      } else if (page.has('otp')) {
        this.trail.push('otp')
        page = await this.submit(page, 'otp', [['otp', await code(this.demo, person)]], stop)
      } else if (page.has('consent-form')) {
        this.trail.push('consent')
        const fields = items.map((item) => ['item', item])
        if (page.has('passcode')) fields.push(['passcode', person.passcode])
        fields.push(['decision', deny ? 'deny' : 'allow'])
        page = await this.submit(page, 'consent-form', fields, stop)
      } else return page
    }
    return page
  }
}
